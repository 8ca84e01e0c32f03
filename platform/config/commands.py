"""The commands that do a run again."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from metaray.algorithms.errors import InputError
from metaray.platform.config.loading import changed_keys, resolve
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.config.tree import Tree, flat, with_values
from metaray.platform.config.values import set_value

Config = TypeVar("Config", bound=ExperimentConfig)


def own_settings(config: ExperimentConfig) -> list[str]:
    """Paths of the settings in which a run differs from the defaults of its method or job."""
    values = dict(flat(config.model_dump()))
    recipe = resolve(type(config), with_values({}, {key: values[key] for key in config.identity}))
    return [key for key in changed_keys(recipe, config) if key not in config.without_effect]


def settings_for(config: Config, resolve: Callable[[Tree], Config]) -> dict[str, Any]:
    """The settings, by path, from which ``resolve`` makes ``config`` again.

    They are those that decide the defaults of the others, those that differ from the defaults, and
    what follows where one of these changes the default of another.
    """
    values = dict(flat(config.model_dump()))
    chosen = {key: values[key] for key in dict.fromkeys([*config.identity, *own_settings(config)])}
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


def train_command(config: ExperimentConfig) -> list[str]:
    """The command that trains this run without a file, one argument an item."""
    settings = settings_for(config, partial(resolve, type(config)))
    named = {key: value for key, value in settings.items() if key not in config.in_command}
    return [config.command, *set_options(named)]


def evaluate_command(
    run: str,
    trained: ExperimentConfig,
    tested: ExperimentConfig,
    other_data: Mapping[str, Any] | None = None,
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
