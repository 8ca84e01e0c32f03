"""What a comparison is: entries, seeds, one budget, and the shapes of its curves."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from metaray.algorithms.atomic import write_json
from metaray.algorithms.configs import Section
from metaray.algorithms.episode_shape import EpisodeShape
from metaray.algorithms.errors import InputError
from metaray.platform.common.errors import first_line
from metaray.platform.common.versions import versions
from metaray.platform.config.loading import override
from metaray.platform.config.schema import RunConfig


class Budget(Section):
    """How much training each run gets; each run's own figures say what it took."""

    unit: Literal["steps", "tasks", "seconds"]
    """outer steps, training tasks, or seconds of training with its validations"""
    amount: float = Field(gt=0)
    """how many"""

    def applied(self, config: RunConfig) -> RunConfig:
        """``config`` with this budget. Seconds leave the number of steps, and so the schedule.

        An entry of no outer steps stays one: it shows what another run has learned.
        """
        if config.train.outer_steps == 0:
            return config
        if self.unit == "seconds":
            return override(config, [f"train.time_budget_s={self.amount}"])
        per_step = config.train.meta_batch_size if self.unit == "tasks" else 1
        steps = math.ceil(self.amount / per_step)
        return override(config, [f"train.outer_steps={steps}", "train.time_budget_s=null"])

    @property
    def text(self) -> str:
        """As a reader would say it."""
        names = {"steps": "outer steps", "tasks": "training tasks", "seconds": "s of training"}
        return f"{self.amount:,.10g} {names[self.unit]}"


class Curves(Section):
    """The shapes at which every trained model is tested again, for the curves."""

    shots: tuple[int, ...]
    """labelled examples per class, at the ways of the comparison"""
    ways: tuple[int, ...]
    """classes, at the shots of the comparison; empty for regression"""
    queries: int = Field(ge=1)
    """examples to predict per class, the same at every shape"""
    episodes: int = Field(ge=2)
    """episodes at each shape"""

    def shapes(self, config: RunConfig) -> list[EpisodeShape]:
        """Those that a method can be tested at: one with a fixed head only at its own ways."""
        task = config.task
        pairs = {(task.ways, shots) for shots in self.shots}
        if not config.method.fixed_head:
            pairs |= {(ways, task.shots) for ways in self.ways}
        elif task.ways in self.ways:
            pairs.add((task.ways, task.shots))
        return [EpisodeShape(ways=w, shots=s, queries=self.queries) for w, s in sorted(pairs)]


class Entry(Section):
    """One row of the comparison. Each of its runs is this config under another seed."""

    name: str
    """also the name of its folder"""
    config: RunConfig

    def config_of(self, seed: int) -> RunConfig:
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
    def common(self) -> RunConfig:
        """A config that stands for what all entries have in common: data, shape and test."""
        return self.entries[0].config

    def write(self, path: Path) -> None:
        """Into ``path`` with the versions of this moment."""
        write_json(path, self.model_dump() | {"versions": versions()})

    @classmethod
    def read(cls, path: Path) -> Plan:
        """From ``path``.

        Raises:
            InputError: that is not a plan that metaray wrote.
        """
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            return cls.model_validate({k: v for k, v in tree.items() if k != "versions"})
        except (OSError, ValueError, AttributeError, ValidationError) as error:
            raise InputError(
                f"{path} is not the plan of a comparison ({first_line(error)}): restore it or "
                "start anew"
            ) from None


def unique_names(names: Sequence[str]) -> None:
    """Raise InputError when two entries have one name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"{len([n for n in names if n in twice])} entries are called {', '.join(twice)}: "
            "give each config file another name, or leave one out"
        )
