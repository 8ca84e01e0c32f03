"""Transfer jobs: the experiments of ``metaray transfer``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.algorithms.plugins import label_of
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.config.transfer import TransferConfig
from metaray.platform.config.tree import Tree, get, merged
from metaray.platform.experiment.base import Bar, Experiment
from metaray.platform.report.transfer_words import job_title, result_lines
from metaray.platform.report.words import data_title
from metaray.platform.run.directory import RunDirectory
from metaray.tune_spaces.registry import space_of
from metaray.tune_spaces.space import Space

if TYPE_CHECKING:
    from rich.text import Text

    from metaray.platform.experiment.session import Prepared
    from metaray.platform.experiment.transfer_session import TransferSession
    from metaray.platform.inference.export import Task
    from metaray.platform.inference.learner import Learner

# What may differ when a job is resumed: nothing that has already shaped its weights.
_PLACES = tuple(f"{section}.{key}" for section in ("data", "target") for key in ("root", "cache"))
_COMPUTE = ("count", "min_count", "cpus", "gpus", "device", "max_", "start_", "stall_")
_RESUMABLE = (
    *_PLACES,
    *(f"workers.{key}" for key in _COMPUTE),
    *(f"train.{key}" for key in ("time_budget_s", "checkpoint_every", "keep_checkpoints")),
    "evaluate.",
    "monitoring.",
)
_EVALUABLE = (*_PLACES, "workers.", "evaluate.")

_METRICS = ("val_accuracy", "val_loss", "wall_s")
_VALIDATIONS = 10  # unless train.validate_every is set


class TransferJob(Experiment[TransferConfig]):
    """Fine-tuning, domain adaptation, distillation, self-supervised training."""

    config_class = TransferConfig
    steps_key = "train.steps"
    step_name = "step"
    test_name = "test"
    plural = "transfer jobs"

    @override
    def resumable(self, config: TransferConfig) -> tuple[str, ...]:
        return _RESUMABLE

    @override
    def evaluable(self, trained: TransferConfig, overrides: Iterable[str]) -> tuple[str, ...]:
        return _EVALUABLE

    @override
    def fitted(self, config: TransferConfig, address: str = "local") -> tuple[TransferConfig, str]:
        from metaray.platform.experiment.transfer_data import open_fitted

        return open_fitted(config, address)[1:]

    @override
    def prepare(self, config: TransferConfig, address: str) -> Prepared:
        from metaray.platform.experiment.transfer_session import prepare

        return prepare(config, address)

    @override
    def reopen(
        self, run: RunDirectory, config: TransferConfig, address: str, callbacks: CallbackList
    ) -> TransferSession:
        from metaray.platform.experiment.transfer_session import reopen

        return reopen(run, config, address, callbacks)

    @override
    def place(self, config: TransferConfig, address: str) -> AbstractContextManager[None]:
        from metaray.platform.distributed.compute import place_of

        return place_of(config.workers, address)

    @override
    def learner(self, run: RunDirectory) -> Learner:
        from metaray.platform.experiment.learners import transfer_learner

        config = self.read(run.config)
        return transfer_learner(run, config, self.title(config))

    @override
    def tasks_to_compare(self, run: RunDirectory) -> list[Task]:
        from metaray.platform.experiment.tasks_to_compare import transfer_tasks

        return transfer_tasks(self.read(run.config))

    @override
    def run_name(self, config: TransferConfig) -> str:
        return f"{config.job.label}-{label_of(config.data.name)}"

    @override
    def title(self, config: TransferConfig) -> str:
        title = f"{job_title(config.job.name)} on {data_title(config.data.name)}"
        target = config.target
        return title if target is None else f"{title}, tested on {data_title(target.name)}"

    @override
    def result_lines(self, summary: dict[str, Any]) -> list[Text]:
        return result_lines(summary)

    @override
    def trial_settings(self, settings: Tree) -> Tree:
        # trials compute in their own process, and validate ten times
        settings = merged({"workers": {"count": 0}}, settings)
        steps = self.resolve(settings).train.steps
        if steps is None or get(settings, "train.validate_every", None) is not None:
            return settings
        return merged(settings, {"train": {"validate_every": max(1, steps // _VALIDATIONS)}})

    @override
    def check_trials(self, config: TransferConfig, metrics: Sequence[str]) -> None:
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
        known = [name for name in _METRICS if name != "val_loss" or config.job.uses_labels]
        if wrong := [name for name in metrics if name not in known]:
            raise InputError(
                f"--metric {wrong[0]} is not measured in a {job} job, which has {', '.join(known)}"
            )

    @override
    def default_metric(self, config: TransferConfig) -> str:
        return "val_accuracy"

    @override
    def space(self, config: TransferConfig) -> Space:
        return space_of(config.job)

    @override
    def steps(self, config: TransferConfig) -> int:
        # 0 where the data decides; ``check_trials`` asks a sweep to set it
        return config.train.steps or 0

    @override
    def validated_on(self, config: TransferConfig) -> str:
        if config.target is None:
            return "the validation images"
        return "validation images of the source, which say little of the target"

    @override
    def told_of_test(self, test: dict[str, Any], num_tested: int) -> str:
        if num_tested <= 1:
            return (
                "The search saw validation images only: test images were touched once, after "
                f"it, for this trial alone, {test['num_examples']:,} of them."
            )
        return (
            "The search saw validation images only. The sweep ended and continued, so that "
            f"{num_tested} trials were tested, each as the best of its time; no choice depended "
            "on it."
        )

    @override
    def bars(self, test: dict[str, Any]) -> list[Bar]:
        before = test["before"]
        return [
            ("test", test["accuracy"], test["ci95"], "main"),
            ("features before", before["accuracy"], before["ci95"], "other"),
            ("guessing", 1 / test["num_classes"], None, "chance"),
        ]


TRANSFER = TransferJob()
