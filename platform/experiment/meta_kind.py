"""Sweeps of meta-training: trials as ``metaray train`` does them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from metaray.algorithms.errors import InputError
from metaray.algorithms.plugins import label_of
from metaray.platform.callbacks.base import Callback
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.config.commands import own_settings, train_command
from metaray.platform.config.loading import Tree, resolve
from metaray.platform.config.schema import RunConfig
from metaray.platform.experiment.base import Bar, Kind
from metaray.platform.report.words import method_title
from metaray.tune_spaces.registry import space_of
from metaray.tune_spaces.space import Space


class MetaTraining(Kind[RunConfig]):
    """Runs of ``metaray train``."""

    config_class = RunConfig
    steps_key = "train.outer_steps"
    test_name = "meta-test"

    def shared(self, settings: Tree) -> Tree:
        """As they are."""
        return settings

    def resolve(self, settings: Tree) -> RunConfig:
        """See Kind."""
        return resolve(settings)

    def check(self, config: RunConfig, metrics: Sequence[str]) -> None:
        """Refuse trials without validation, and those that end by the clock."""
        if not config.train.validate_every:
            raise InputError(
                "a sweep compares trials on validation: set train.validate_every above 0"
            )
        if config.train.time_budget_s is not None:
            raise InputError(
                "train.time_budget_s would end trials by the clock, which others slow down: set "
                "train.outer_steps, and give the whole sweep a --time-budget"
            )

    def default_metric(self, config: RunConfig) -> str:
        """See Kind."""
        return "val_mse" if config.data.name == "sinusoid" else "val_accuracy"

    def space(self, config: RunConfig) -> Space:
        """That of the method."""
        return space_of(config.method)

    def steps(self, config: RunConfig) -> int:
        """Outer steps."""
        return config.train.outer_steps

    def open_data(self, config: RunConfig, address: str) -> None:
        """See Kind."""
        from metaray.platform.experiment import meta as session

        session.open_data(config, address)

    def train(
        self, config: RunConfig, folder: Path, callbacks: Iterable[Callback], time_adaptation: bool
    ) -> dict[str, float]:
        """See Kind."""
        from metaray.platform.experiment import meta as session
        from metaray.platform.experiment.adaptation import adaptation_time

        trained, last = session.fit(config, folder, _address(config), callbacks)
        if not time_adaptation:
            return {}
        return {"adapt_s": adaptation_time(trained, session.flat_state(last))}

    def test(self, config: RunConfig, folder: Path, console: Console) -> dict[str, Any]:
        """See Kind."""
        from metaray.platform.experiment import meta as session

        return session.evaluate_run(folder, [], _address(config), [Terminal(console)])

    def name(self, config: RunConfig) -> str:
        """The method's."""
        return config.method.label

    def title(self, config: RunConfig) -> str:
        """Method, data and the shape of the episodes."""
        task = config.task
        shape = (
            f"{task.shots} examples per task"
            if config.data.name == "sinusoid"
            else f"{task.ways}-way {task.shots}-shot"
        )
        return f"{method_title(config.method.name)} on {label_of(config.data.name)}, {shape}"

    def identity(self, config: RunConfig) -> list[str]:
        """See Kind."""
        return ["method.name", "data.name", "task.ways", "task.shots"]

    def own_settings(self, config: RunConfig) -> list[str]:
        """See Kind."""
        return own_settings(config)

    def command(self, config: RunConfig) -> str:
        """See Kind."""
        return "metaray train"

    def full_command(self, config: RunConfig) -> list[str]:
        """See Kind."""
        return train_command(config)

    def validated_on(self, config: RunConfig) -> str:
        """See Kind."""
        return f"{config.train.validate_episodes} validation episodes"

    def told_of_test(self, test: dict[str, Any], num_tested: int) -> str:
        """See Kind."""
        if num_tested <= 1:
            return (
                "The search saw validation classes only: test classes were touched once, after "
                f"it, for this trial alone, over {test['num_episodes']:,} episodes."
            )
        return (
            "The search saw validation classes only. The sweep ended and went on, so that "
            f"{num_tested} trials were meta-tested, each as the best of its time; no choice "
            "depended on it."
        )

    def bars(self, test: dict[str, Any]) -> list[Bar]:
        """See Kind."""
        return [
            ("meta-test", test["accuracy"], test["ci95"], "main"),
            ("untrained", test["baseline_accuracy"], test["baseline_ci95"], "other"),
            ("guessing", 1 / test["ways"], None, "chance"),
        ]


def _address(config: RunConfig) -> str:
    return "current" if config.workers.count else "local"
