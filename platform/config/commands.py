"""The commands that do a run again."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from metaray.platform.config.loading import changed_keys, flat, resolve
from metaray.platform.config.schema import RunConfig

_NAMED = ("method.name", "data.name", "task.ways", "task.shots")
_BARE = re.compile(r"[A-Za-z_/~.][\w/~.-]*")
_NOT_TEXT = {"true", "false", "none", "null", "inf", "nan"}


def own_settings(config: RunConfig) -> list[str]:
    """Settings in which a run differs from the paper's for its method, data and shape."""
    method, data, task = config.method, config.data, config.task
    recipe = resolve(
        {
            "method": {"name": method.name},
            "data": {"name": data.name},
            "task": {"ways": task.ways, "shots": task.shots},
        }
    )
    return changed_keys(recipe, config)


def train_command(config: RunConfig) -> list[str]:
    """``metaray train`` with every setting that this run needs, one argument an item."""
    values = dict(flat(config.model_dump()))
    keys = [*_NAMED, *(key for key in own_settings(config) if key not in _NAMED)]
    settings = [f"{key}={toml_value(values[key])}" for key in keys]
    return ["metaray train", *(f"--set {shlex.quote(setting)}" for setting in settings)]


def evaluate_command(run: str, config: RunConfig, summary: Mapping[str, Any]) -> list[str]:
    """``metaray evaluate`` as it was done last, one argument an item.

    What differs from the config of the run was set for the test alone, and is said again.
    """
    known = {
        "task.ways": config.task.ways,
        "task.shots": config.task.shots,
        "task.queries": config.task.queries,
        "evaluate.num_episodes": config.evaluate.num_episodes,
        "evaluate.batch_norm": config.evaluate.batch_norm,
        "evaluate.checkpoint": config.evaluate.checkpoint,
    }
    done = {key: summary.get(key.split(".")[1]) for key in known}
    changed = {key: value for key, value in done.items() if value not in (None, known[key])}
    changed = dict(summary.get("data_settings") or {}) | changed
    return [
        f"metaray evaluate {shlex.quote(run)}",
        *(f"--set {shlex.quote(f'{key}={toml_value(value)}')}" for key, value in changed.items()),
    ]


def toml_value(value: Any) -> str:
    """A value as ``--set`` takes it."""
    if value is None:
        return "none"
    if isinstance(value, str) and _BARE.fullmatch(value) and value not in _NOT_TEXT:
        return value
    return json.dumps(value)  # a JSON string, number or bool is TOML too
