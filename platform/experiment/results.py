"""What every kind of run writes of its settings and its result."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from metaray.algorithms.atomic import write_json
from metaray.platform.common.versions import versions
from metaray.platform.config.loading import read_versions
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.run.checkpoint import Checkpoint, params_sha256
from metaray.platform.run.directory import RunDirectory
from metaray.platform.training.device import device_name

_DECIDE_BITS = ("torch", "metaray")


def write_config(path: Path, config: BaseModel) -> None:
    """The resolved settings with versions, from which the run can be repeated."""
    write_json(path, config.model_dump() | {"versions": versions()})


def version_note(run: RunDirectory) -> str | None:
    """A sentence where the run was trained with other versions that decide bits."""
    recorded = read_versions(run.config)
    now = versions()
    changed = [name for name in _DECIDE_BITS if recorded.get(name, now[name]) != now[name]]
    if not changed:
        return None
    before = " and ".join(f"{name} {recorded[name]}" for name in changed)
    after = " and ".join(f"{name} {now[name]}" for name in changed)
    return (
        f"the run was trained with {before} so far, and continues with {after}: its result may "
        "differ in its last bits from that of one version"
    )


def rate(rows: Sequence[dict[str, Any]], counted: str) -> float | None:
    """How many ``counted`` (tasks, examples) a second over all steps, or None without any step.

    Example:
        >>> rate([{"step_s": 0.5, "tasks": 4}, {"step_s": 1.5, "tasks": 4}], "tasks")
        4.0
    """
    seconds = sum(row["step_s"] for row in rows)
    return sum(row[counted] for row in rows) / seconds if seconds else None


def of_training(config: ExperimentConfig, last: Checkpoint, num_parameters: int) -> dict[str, Any]:
    """What every summary says of the training: its parameters, their choice, time and place.

    Args:
        config: settings of the run.
        last: the checkpoint at the end of training.
        num_parameters: of the network.
    """
    return {
        "checkpoint": config.evaluate.checkpoint,
        "wall_s": last.wall_s,
        "tested_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "network": config.model.name,
        "device": device_name(config.workers),
        "workers": config.workers.count,
        "num_parameters": num_parameters,
        "params_sha256": params_sha256(last),
    }
