"""Which pictures a transfer job was trained on, and what that means for resuming it."""

from __future__ import annotations

import json
from typing import Any

from metaray.algorithms.atomic import write_json
from metaray.algorithms.errors import InputError
from metaray.algorithms.transfer.examples import Examples
from metaray.platform.run.directory import RunDirectory
from metaray.platform.training.transfer.blueprint import Domains
from metaray.platform.training.transfer.initialization import InitialState


def write_data(run: RunDirectory, domains: Domains, beginning: InitialState) -> None:
    """Content hashes, shapes and sizes of the domains; where the network started; the teacher."""
    origin, teacher = beginning.origin, beginning.plan.teacher
    record = {
        "source": _described(domains.source),
        "target": None if domains.target is None else _described(domains.target),
        "init": None if origin is None else origin.as_json(),
        "teacher": None if teacher is None else teacher.model_dump(),
    }
    write_json(run.data, record)


def read_data(run: RunDirectory) -> dict[str, Any]:
    """What ``write_data`` wrote.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        record: dict[str, Any] = json.loads(run.data.read_text(encoding="utf-8"))
        if not {"source", "target", "init", "teacher"} <= record.keys():
            raise KeyError("source")
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"{run.data} does not say which data the run was trained on ({error}): restore it"
        ) from None
    return record


def check_same_data(run: RunDirectory, domains: Domains) -> None:
    """Raise InputError unless ``domains`` hold what ``run`` was trained on."""
    recorded = read_data(run)
    for key, examples in (("source", domains.source), ("target", domains.target)):
        if examples is not None and _described(examples) != recorded[key]:
            raise InputError(
                f"the {key} {examples.config.name} does not hold the pictures that {run.path} was "
                "trained on: point its root or cache at the old ones"
            )


def _described(examples: Examples) -> dict[str, Any]:
    return {
        "content_sha256": examples.content_sha256,
        "input_shape": list(examples.input_shape),
        "classes": list(examples.class_names),
        "pictures": examples.describe(),
    }
