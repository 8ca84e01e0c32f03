"""``best.toml``: the settings of the best trial, as the command that trains one takes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from metaray.algorithms.atomic import write_text
from metaray.algorithms.errors import InputError
from metaray.platform.config.loading import changed_keys, flat, read_toml
from metaray.platform.experiment.base import Kind
from metaray.platform.experiment.registry import SweptConfig
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.platform.sweep.population import Rates


def write_best(
    kind: Kind[Any],
    config: SweptConfig,
    folder: SweepDirectory,
    course: Sequence[tuple[int, Rates]] = (),
) -> None:
    """The settings that the recipe of the best trial's method or job does not have, as TOML.

    A comment says where its rates changed while it trained, if they did.

    Raises:
        InputError: TOML cannot say them: it has no null.
    """
    values = dict(flat(config.model_dump()))
    named = kind.identity(config)
    keys = [*named, *(key for key in kind.own_settings(config) if key not in named)]
    write_text(folder.best, _changes(course) + _toml({key: values[key] for key in keys}))
    if wrong := changed_keys(config, kind.resolve(read_toml(folder.best))):
        raise InputError(
            f"{folder.best} cannot say {', '.join(wrong)}, as TOML has no null: add "
            f"{' '.join(f'--set {key}=null' for key in wrong)} to {kind.command(config)}"
        )


def _changes(course: Sequence[tuple[int, Rates]]) -> str:
    if len(course) < 2:
        return ""
    lines = [
        "The rates of the best trial changed while it trained. What is below has the last of them",
        "from the start, and so does not train to the same accuracy; the trained result is in the",
        "folder of the trial. Its rates, from each step on:",
        *(
            f"  {step}: {', '.join(f'{path} = {rate:.6g}' for path, rate in rates.items())}"
            for step, rates in course
        ),
    ]
    return "".join(f"# {line}\n" for line in lines) + "\n"


def _toml(values: dict[str, Any]) -> str:
    sections: dict[str, list[str]] = {}
    for key, value in values.items():
        section, _, leaf = key.rpartition(".")
        if value is not None:
            sections.setdefault(section, []).append(f"{leaf} = {json.dumps(value)}")
    blocks = [
        "\n".join([*([f"[{name}]"] if name else []), *lines])
        for name, lines in sorted(sections.items())
    ]
    return "\n\n".join(blocks) + "\n"
