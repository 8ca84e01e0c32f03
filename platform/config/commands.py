"""The commands that do a run again."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from metaray.algorithms.errors import InputError
from metaray.platform.config.loading import Tree, changed_keys, flat, resolve, with_values
from metaray.platform.config.schema import RunConfig
from metaray.platform.config.values import set_value

_NAMED = ("method.name", "data.name", "task.ways", "task.shots")


def own_settings(config: RunConfig) -> list[str]:
    """Settings in which a run differs from the paper's for its method, data and shape."""
    method, data, task = config.method, config.data, config.task
    recipe = resolve(
        {
            "method": {"name": method.name},
            "data": {"name": data.name},
            "task": {"ways": task.ways, "shots": task.shots},
        },
        {},
    )
    return changed_keys(recipe, config)


def settings_for(
    config: BaseModel, keys: Iterable[str], resolve: Callable[[Tree], BaseModel]
) -> dict[str, Any]:
    """Settings, by path, from which ``resolve`` makes ``config`` again.

    Args:
        config: the settings of a run.
        keys: those that are named whether they need be or not, and those that are known to be
            needed. Others follow where one of these changes the default of another.
        resolve: makes a config from what a user has set, in nested tables.
    """
    values = dict(flat(config.model_dump()))
    chosen = {key: values[key] for key in keys}
    while True:
        try:
            missing = changed_keys(resolve(with_values({}, chosen)), config)
        except InputError:  # these settings are too few
            return chosen | values
        if not (missing := [key for key in missing if key not in chosen and key in values]):
            return chosen
        chosen |= {key: values[key] for key in missing}


def set_options(settings: Mapping[str, Any]) -> list[str]:
    """``--set key=value`` for each of them, as a shell reads it."""
    return [f"--set {shlex.quote(f'{key}={set_value(value)}')}" for key, value in settings.items()]


def train_command(config: RunConfig) -> list[str]:
    """``metaray train`` with every setting that this run needs, one argument an item."""
    keys = dict.fromkeys([*_NAMED, *own_settings(config)])
    return [
        "metaray train",
        *set_options(settings_for(config, keys, lambda user: resolve(user, {}))),
    ]


def evaluate_command(
    run: str, trained: RunConfig, tested: RunConfig, other_data: Mapping[str, Any] | None = None
) -> list[str]:
    """``metaray evaluate`` as it was done last, one argument an item.

    Args:
        run: where the run is.
        trained: the config of its training.
        tested: the config of the test. What differs was set for the test, and is said again.
        other_data: the settings of the data, by path, where the test was on another data set.
    """
    values = dict(flat(tested.model_dump()))
    changed = {key: values[key] for key in changed_keys(trained, tested) if key in values}
    if other_data is not None:
        # the other data set brings these along
        follow = ("data.", "method.num_classes")
        changed = {key: value for key, value in changed.items() if not key.startswith(follow)}
    return [f"metaray evaluate {shlex.quote(run)}", *set_options(dict(other_data or {}) | changed)]
