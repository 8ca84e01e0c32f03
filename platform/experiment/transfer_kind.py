"""Sweeps of transfer jobs: trials as ``metaray transfer`` does them, each in its own process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.base import Callback
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.config.loading import Tree, get, merged
from metaray.platform.config.transfer import TransferConfig
from metaray.platform.config.transfer_commands import own_settings, train_command
from metaray.platform.config.transfer_loading import resolve_transfer
from metaray.platform.experiment.base import Bar, Kind
from metaray.platform.report.transfer_words import TITLES
from metaray.platform.report.words import data_title
from metaray.tune_spaces.registry import space_of
from metaray.tune_spaces.space import Space

_METRICS = ("val_accuracy", "val_loss", "wall_s")
_PROBED = ("simclr", "moco")  # validated by a probe of the features, which has no loss
_VALIDATIONS = 10  # unless train.validate_every is set


class TransferJob(Kind[TransferConfig]):
    """Jobs of ``metaray transfer``."""

    config_class = TransferConfig
    steps_key = "train.steps"
    test_name = "test"

    def shared(self, settings: Tree) -> Tree:
        """Trials compute in their own process, and validate ten times."""
        settings = merged({"workers": {"count": 0}}, settings)
        steps = self.resolve(settings).train.steps
        if steps is None or get(settings, "train.validate_every", None) is not None:
            return settings
        return merged(settings, {"train": {"validate_every": max(1, steps // _VALIDATIONS)}})

    def resolve(self, settings: Tree) -> TransferConfig:
        """See Kind."""
        return resolve_transfer(settings)

    def check(self, config: TransferConfig, metrics: Sequence[str]) -> None:
        """Refuse workers, and what leaves trials without a common measure."""
        job = config.job.name
        if config.workers.count:
            raise InputError(
                f"a trial of a transfer job computes in its own process, since Ray Train waits for "
                f"ever inside a trial, got workers.count = {config.workers.count}: leave it out"
            )
        if config.train.steps is None:
            raise InputError(
                "a sweep compares trials after the same number of steps, and train.epochs are as "
                "many as the data makes them: set train.steps"
            )
        if not config.train.validate_every:
            raise InputError(
                "a sweep compares trials on validation: set train.validate_every above 0"
            )
        if config.evaluate.references:
            raise InputError(
                "evaluate.references are no part of a sweep: leave them out, and set them for "
                f"metaray transfer {job} best.toml"
            )
        known = [name for name in _METRICS if name != "val_loss" or job not in _PROBED]
        if wrong := [name for name in metrics if name not in known]:
            raise InputError(
                f"--metric {wrong[0]} is not measured in a {job} job, which has {', '.join(known)}"
            )

    def default_metric(self, config: TransferConfig) -> str:
        """See Kind."""
        return "val_accuracy"

    def space(self, config: TransferConfig) -> Space:
        """That of the job."""
        return space_of(config.job)

    def steps(self, config: TransferConfig) -> int:
        """Optimizer steps, which ``check`` asks for."""
        assert config.train.steps is not None
        return config.train.steps

    def open_data(self, config: TransferConfig, address: str) -> None:
        """See Kind."""
        from metaray.platform.experiment import transfer as session

        session.open_domains(config, address)

    def train(
        self,
        config: TransferConfig,
        folder: Path,
        callbacks: Iterable[Callback],
        time_adaptation: bool,
    ) -> dict[str, float]:
        """See Kind; there is nothing to adapt to."""
        from metaray.platform.experiment import transfer_trial as trial

        trial.train_alone(config, folder, callbacks)
        return {}

    def test(self, config: TransferConfig, folder: Path, console: Console) -> dict[str, Any]:
        """See Kind."""
        from metaray.platform.experiment import transfer_trial as trial

        return trial.test_alone(folder, [Terminal(console, config.job.name)])

    def name(self, config: TransferConfig) -> str:
        """The job's."""
        return config.job.label

    def title(self, config: TransferConfig) -> str:
        """Job and domains."""
        title = f"{TITLES.get(config.job.name, config.job.label)} on {data_title(config.data.name)}"
        target = config.target
        return title if target is None else f"{title}, tested on {data_title(target.name)}"

    def identity(self, config: TransferConfig) -> list[str]:
        """See Kind."""
        return ["job.name", "data.name", *(["target.name"] if config.target else [])]

    def own_settings(self, config: TransferConfig) -> list[str]:
        """See Kind."""
        return own_settings(config)

    def command(self, config: TransferConfig) -> str:
        """See Kind."""
        return f"metaray transfer {config.job.name}"

    def full_command(self, config: TransferConfig) -> list[str]:
        """See Kind."""
        return train_command(config, own_settings(config))

    def validated_on(self, config: TransferConfig) -> str:
        """See Kind."""
        if config.target is None:
            return "the validation pictures"
        return "validation pictures of the source, which say little of the target"

    def told_of_test(self, test: dict[str, Any], num_tested: int) -> str:
        """See Kind."""
        if num_tested <= 1:
            return (
                "The search saw validation pictures only: test pictures were touched once, after "
                f"it, for this trial alone, {test['num_examples']:,} of them."
            )
        return (
            "The search saw validation pictures only. The sweep ended and went on, so that "
            f"{num_tested} trials were tested, each as the best of its time; no choice depended "
            "on it."
        )

    def bars(self, test: dict[str, Any]) -> list[Bar]:
        """See Kind."""
        before = test["before"]
        return [
            ("test", test["accuracy"], test["ci95"], "main"),
            ("features before", before["accuracy"], before["ci95"], "other"),
            ("guessing", 1 / test["num_classes"], None, "chance"),
        ]
