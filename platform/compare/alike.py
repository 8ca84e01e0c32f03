"""Makes entries alike in all that decides their test. What users have set is never changed."""

from __future__ import annotations

from typing import Any

from metaray.algorithms.errors import InputError
from metaray.platform.config.commands import own_settings
from metaray.platform.config.loading import override
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.config.tree import flat
from metaray.platform.config.values import set_value
from metaray.platform.experiment.comparison import Comparable

Configs = dict[str, ExperimentConfig]


def made_alike(configs: Configs, comparison: Comparable[Any]) -> tuple[Configs, list[str]]:
    """Entries that are tested on the same examples, and notes of what was changed for it.

    Recipes may differ in what they ask: the first entry's holds for all.

    Raises:
        InputError: entries differ in a setting that a user has set, or that decides the defaults
            of others.
    """
    configs = _filled(configs, comparison)
    first_name, first = next(iter(configs.items()))
    wanted = dict(flat(first.model_dump()))
    kept = {name: _never_changed(config) for name, config in configs.items()}
    alike: Configs = {}
    changed: dict[str, list[str]] = {}
    for name, config in configs.items():
        changes = []
        for key, value in flat(config.model_dump()):
            if not comparison.decides_test(key) or value == wanted[key]:
                continue
            if key in kept[name] | kept[first_name]:
                here, there = set_value(wanted[key]), set_value(value)
                raise InputError(
                    f"{first_name} and {name} cannot be compared: {key} is {here} in one "
                    f"and {there} in the other; set it for all with --set {key}=..."
                )
            changes.append(f"{key}={set_value(wanted[key])}")
            setting = f"{key} = {set_value(wanted[key])}"
            changed.setdefault(setting, []).append(f"{name} ({set_value(value)})")
        alike[name] = override(config, changes)
    return alike, [
        f"{setting} holds for all, as for {first_name}; the recipes of others differ: "
        + ", ".join(names)
        for setting, names in changed.items()
    ]


def _filled(configs: Configs, comparison: Comparable[Any]) -> Configs:
    """Settings that some entries leave open have the value that the others agree on."""
    values = {name: dict(flat(config.model_dump())) for name, config in configs.items()}
    changes = []
    for key in comparison.left_open:
        said = {found[key] for found in values.values()} - {None}
        if len(said) == 1:
            changes.append(f"{key}={set_value(said.pop())}")
    return {name: override(config, changes) for name, config in configs.items()}


def _never_changed(config: ExperimentConfig) -> set[str]:
    """Paths of what a user has set, and of what decides the defaults of other settings."""
    return {*own_settings(config), *config.identity}
