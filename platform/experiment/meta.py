"""Meta-training: the experiments of ``metaray train``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.algorithms.plugins import label_of
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.config.meta import RunConfig
from metaray.platform.experiment.base import Bar, Experiment
from metaray.platform.experiment.other_data import other_data
from metaray.platform.report.words import method_title, result_lines
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.summary import is_as_it_began
from metaray.platform.training.schedule import meta_schedule
from metaray.tune_spaces.registry import space_of
from metaray.tune_spaces.space import Space

if TYPE_CHECKING:
    from rich.text import Text

    from metaray.platform.experiment.meta_comparison import MetaComparison
    from metaray.platform.experiment.meta_session import MetaSession
    from metaray.platform.experiment.session import Prepared
    from metaray.platform.inference.export import Task
    from metaray.platform.inference.learner import Learner

# What may differ when a run is resumed: nothing that has already shaped its parameters.
_PLACES = ("data.root", "data.cache")
_RESUMABLE = (
    *_PLACES,
    *(f"workers.{key}" for key in ("count", "cpus", "gpus", "device", "max_", "start_", "stall_")),
    *(f"train.{key}" for key in ("time_budget_s", "checkpoint_every", "keep_checkpoints")),
    *(f"evaluate.{key}" for key in ("num_episodes", "checkpoint")),
    "monitoring.",
)
_EVALUABLE = (
    *_PLACES,
    *(f"task.{key}" for key in ("ways", "shots", "queries", "within_group", "sampler")),
    *(f"task.{key}" for key in ("min_ways", "max_ways", "max_support", "sequence_shots")),
    *("workers.", "evaluate.", "method.eval_"),
)


class MetaTraining(Experiment[RunConfig]):
    """Training on episodes, tested on episodes of classes that training has not seen."""

    config_class = RunConfig
    steps_key = "train.outer_steps"
    step_name = "outer step"
    test_name = "meta-test"
    scales = True
    plural = "meta-training runs"
    chosen = ("workers.derivatives",)
    fits = tuple(
        f"task.{key}"
        for key in ("ways", "queries", "train_ways", "train_shots", "train_queries", "min_ways")
    )

    @override
    def resumable(self, config: RunConfig) -> tuple[str, ...]:
        # with more steps where no step depends on how many there will be
        if meta_schedule(config.train).looks_ahead or config.method.anneals:
            return _RESUMABLE
        return (*_RESUMABLE, "train.outer_steps")

    @override
    def evaluable(self, trained: RunConfig, overrides: Iterable[str]) -> tuple[str, ...]:
        if other_data(trained, overrides) is None:
            return _EVALUABLE
        return (*_EVALUABLE, "data.", "method.num_classes")

    @override
    def fitted(self, config: RunConfig, address: str = "local") -> tuple[RunConfig, str]:
        from metaray.platform.experiment.meta_data import open_fitted

        return open_fitted(config, address)[1:]

    @override
    def prepare(self, config: RunConfig, address: str) -> Prepared:
        from metaray.platform.experiment.meta_session import prepare

        return prepare(config, address)

    @override
    def reopen(
        self, run: RunDirectory, config: RunConfig, address: str, callbacks: CallbackList
    ) -> MetaSession:
        from metaray.platform.experiment.meta_session import reopen

        return reopen(run, config, address, callbacks)

    @override
    def reopen_for_test(
        self, run: RunDirectory, overrides: Sequence[str], address: str, callbacks: CallbackList
    ) -> MetaSession:
        from metaray.platform.experiment.meta_session import reopen_for_test

        return reopen_for_test(self, run, overrides, address, callbacks)

    @override
    def learner(self, run: RunDirectory) -> Learner:
        from metaray.platform.experiment.learners import meta_learner

        config = self.read(run.config)
        return meta_learner(run, config, self.title(config))

    @override
    def tasks_to_compare(self, run: RunDirectory) -> list[Task]:
        from metaray.platform.experiment.tasks_to_compare import meta_tasks

        return meta_tasks(self.read(run.config))

    @override
    def run_name(self, config: RunConfig) -> str:
        return f"{config.method.label}-{label_of(config.data.name)}"

    @override
    def title(self, config: RunConfig) -> str:
        task = config.task
        shape = (
            f"{task.shots} examples per task"
            if config.data.is_regression
            else config.test_shape.label
        )
        return f"{method_title(config.method.name)} on {label_of(config.data.name)}, {shape}"

    @override
    def result_lines(self, summary: dict[str, Any]) -> list[Text]:
        return result_lines(summary)

    @property
    @override
    def comparison(self) -> MetaComparison:
        from metaray.platform.experiment.meta_comparison import META_COMPARISON

        return META_COMPARISON

    @override
    def check_trials(self, config: RunConfig, metrics: Sequence[str]) -> None:
        if not config.train.validate_every:
            raise InputError(
                "a sweep compares trials on validation: set train.validate_every above 0"
            )
        if config.train.time_budget_s is not None:
            raise InputError(
                "train.time_budget_s would end trials by the clock, which others slow down: set "
                "train.outer_steps, and give the whole sweep a --time-budget"
            )

    @override
    def default_metric(self, config: RunConfig) -> str:
        return "val_mse" if config.data.is_regression else "val_accuracy"

    @override
    def space(self, config: RunConfig) -> Space:
        space, trains = space_of(config.method), config.train.outer_steps > 0
        return {
            key: space[key]
            for key in space
            if key not in config.without_effect and (trains or not key.startswith("train."))
        }

    @override
    def rates(self, config: RunConfig) -> tuple[str, ...]:
        # a learned step size is a parameter, and its setting no more than where it started
        method = config.method
        fixed = "inner_lr" in type(method).model_fields
        fixed = fixed and not getattr(method, "learned_rates", False)
        return ("train.meta_lr", "method.inner_lr") if fixed else ("train.meta_lr",)

    @override
    def steps(self, config: RunConfig) -> int:
        return config.train.outer_steps

    @override
    def validated_on(self, config: RunConfig) -> str:
        return f"{config.train.validate_episodes} validation episodes"

    @override
    def told_of_test(self, test: dict[str, Any], num_tested: int) -> str:
        if num_tested <= 1:
            return (
                "The search saw validation classes only: test classes were touched once, after "
                f"it, for this trial alone, over {test['num_episodes']:,} episodes."
            )
        return (
            "The search saw validation classes only. The sweep ended and continued, so that "
            f"{num_tested} trials were meta-tested, each as the best of its time; no choice "
            "depended on it."
        )

    @override
    def bars(self, test: dict[str, Any]) -> list[Bar]:
        untrained: Bar = (
            "untrained", test["baseline_accuracy"], test["baseline_ci95"], "other",
        )  # fmt: skip
        return [
            ("meta-test", test["accuracy"], test["ci95"], "main"),
            *([] if is_as_it_began(test) else [untrained]),
            ("guessing", 1 / test["ways"] if test["ways"] else test["chance"], None, "chance"),
        ]


META = MetaTraining()
