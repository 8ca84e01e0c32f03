"""What a comparison is: entries, seeds, one budget, and the shapes of its curves.

The kind of its runs is in the configs of the entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from metaray.algorithms.atomic import write_json
from metaray.algorithms.configs import Section
from metaray.algorithms.errors import InputError
from metaray.algorithms.reading import read_object, refusing_damage
from metaray.platform.common.versions import versions
from metaray.platform.compare.kind import comparison_of
from metaray.platform.config.kinds import config_class_of
from metaray.platform.config.loading import as_meant, override, validate_as
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.experiment.comparison import Budget, Comparable, Curves
from metaray.platform.experiment.registry import experiment_of


def _of_its_kind(config: Any) -> Any:
    """Nested tables as the config that they describe."""
    if not isinstance(config, dict):
        return config
    kind = config_class_of(config)
    return validate_as(kind, as_meant(kind, config))


AnyConfig = Annotated[SerializeAsAny[ExperimentConfig], BeforeValidator(_of_its_kind)]
"""the config of any kind of run, with all of its settings in JSON"""


class Entry(Section):
    """One row of the comparison. Each of its runs is this config under another seed."""

    name: str
    """also the name of its folder"""
    config: AnyConfig

    def config_of(self, seed: int) -> ExperimentConfig:
        """The config of one run."""
        return override(self.config, [f"seed={seed}"])


class Plan(Section):
    """All that determines a comparison; ``compare.json`` holds it."""

    entries: tuple[Entry, ...]
    seeds: tuple[int, ...]
    budget: Budget
    curves: Curves
    reference: str | None = None
    """the entry that the others are compared to; None: the best one"""
    notes: tuple[str, ...] = ()
    """what a reader has to know of how the entries were made alike, and where they differ"""

    @property
    def common(self) -> ExperimentConfig:
        """A config that stands for what all entries have in common: data, shape and test."""
        return self.entries[0].config

    @property
    def configs(self) -> dict[str, ExperimentConfig]:
        """The config of every entry, by its name."""
        return {entry.name: entry.config for entry in self.entries}

    @property
    def comparison(self) -> Comparable[Any]:
        """How runs of its kind are compared; InputError where they cannot be."""
        return comparison_of({name: experiment_of(config) for name, config in self.configs.items()})

    def write(self, path: Path) -> None:
        """Into ``path`` with the versions of this moment."""
        write_json(path, self.model_dump() | {"versions": versions()})

    @classmethod
    def read(cls, path: Path) -> Plan:
        """From ``path``.

        Raises:
            InputError: that is not a plan that metaray wrote.
        """
        problem, remedy = f"{path} is not the plan of a comparison", "restore it or begin a new one"
        tree = read_object(path, problem, remedy)
        with refusing_damage(problem, remedy):
            return cls.model_validate({k: v for k, v in tree.items() if k != "versions"})


def unique_names(names: Sequence[str]) -> None:
    """Raise InputError when two entries have one name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"{len([n for n in names if n in twice])} entries are called {', '.join(twice)}: "
            "give each config file another name, or leave one out"
        )
