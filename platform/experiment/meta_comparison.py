"""How meta-trainings are compared: the same test episodes, one budget, curves over shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.algorithms.plugins import is_outside
from metaray.algorithms.registry import METHODS
from metaray.algorithms.tasks.registry import DATA_SETS
from metaray.platform.common.formatting import plural
from metaray.platform.config import loading
from metaray.platform.config.meta import RunConfig
from metaray.platform.config.tree import Tree, get, with_values
from metaray.platform.experiment.comparison import Budget, Comparable, Curves

if TYPE_CHECKING:
    from metaray.algorithms.tasks.source import EpisodeSource
    from metaray.platform.callbacks.callback_list import CallbackList
    from metaray.platform.experiment.meta_session import MetaSession
    from metaray.platform.experiment.session import Session
    from metaray.platform.report.record import RunRecord
    from metaray.platform.run.directory import RunDirectory

# What decides which episodes a test has. Where data lies does not.
_SAME = (
    "seed",
    "task.ways",
    "task.shots",
    "task.queries",
    "task.within_group",
    "task.sampler",
    "task.min_ways",
    "task.max_ways",
    "task.max_support",
    "task.max_support_per_class",
    "evaluate.num_episodes",
    "evaluate.rotations",
)


def _all_methods(data: str | None) -> list[str]:
    """Those that can learn such tasks, and heads where the data are features to use them on."""
    tasks = DATA_SETS.validate({} if data is None else {"name": data})
    return [
        name
        for name, method in METHODS.items()
        if (method.learns_regression or not tasks.is_regression)
        and (not method.of_frozen_features or not tasks.has_images)
    ]


class MetaComparison(Comparable[RunConfig]):
    """Meta-trainings are compared by their meta-tests, episode by episode."""

    left_open = (
        "data.channels",  # an encoder's entry has them from its network
        "evaluate.rotations",
    )

    @override
    def named(self, names: str, settings: Tree) -> list[tuple[str, Tree]]:
        found = [name.strip() for name in names.split(",") if name.strip()]
        for name in found:
            if name != "all" and not is_outside(name) and name not in METHODS:
                near = get_close_matches(name, list(METHODS), n=1)
                hint = f", did you mean {near[0]}?" if near else ""
                raise InputError(f"--methods {name!r} is not one of {', '.join(METHODS)}{hint}")
        if found == ["all"]:
            found = _all_methods(get(settings, "data.name", None))
        return [(name, with_values(settings, {"method.name": name})) for name in found]

    @override
    def decides_test(self, key: str) -> bool:
        return key in _SAME or (key.startswith("data.") and key not in RunConfig.places)

    @override
    def with_budget(self, config: RunConfig, budget: Budget) -> RunConfig:
        # seconds leave the number of steps, and so the schedule; an entry of no steps stays one
        if config.train.outer_steps == 0:
            return config
        if budget.unit == "seconds":
            return loading.override(config, [f"train.time_budget_s={budget.amount}"])
        per_step = config.train.meta_batch_size if budget.unit == "tasks" else 1
        steps = math.ceil(budget.amount / per_step)
        return loading.override(config, [f"train.outer_steps={steps}", "train.time_budget_s=null"])

    @override
    def check(self, config: RunConfig) -> EpisodeSource:
        from metaray.platform.experiment.meta_data import open_data
        from metaray.platform.training.meta.blueprint import Blueprint

        source = open_data(config)
        Blueprint(config, source).layouts  # noqa: B018 - builds the network
        return source

    @override
    def curves(
        self,
        config: RunConfig,
        data: EpisodeSource,
        shots: Sequence[int] | None,
        ways: Sequence[int] | None,
        episodes: int,
    ) -> Curves:
        from metaray.platform.experiment.meta_curves import curves_of

        return curves_of(config, data, shots, ways, episodes)

    @override
    def notes(self, configs: Mapping[str, RunConfig]) -> list[str]:
        notes = []
        by_batch_norm = [c for c in configs.values() if not c.method.transductive]
        if len({config.evaluate.batch_norm for config in by_batch_norm}) > 1:
            notes.append(
                "Batch norm is transductive for some entries and inductive for others, as in their "
                "papers: transductive ones may also learn from the other queries of an episode. "
                "Set evaluate.batch_norm to make them alike."
            )
        together = [
            name
            for name, config in configs.items()
            if config.method.transductive and config.evaluate.batch_norm == "transductive"
        ]
        if together:
            notes.append(
                "Transductive, so that the queries of an episode were predicted together: "
                f"{', '.join(together)}."
            )
        frozen = {name: c for name, c in configs.items() if c.train.outer_steps == 0}
        left = [name for name, config in frozen.items() if config.init.checkpoint]
        if left:
            notes.append(f"Tested as the run in init.checkpoint left it: {', '.join(left)}.")
        untrained = [name for name in frozen if name not in left]
        if untrained:
            notes.append(f"Not trained, as train.outer_steps is 0: {', '.join(untrained)}.")
        return notes

    @override
    def measure(self, session: Session, curves: Curves, callbacks: CallbackList) -> dict[str, Any]:
        from metaray.platform.experiment.meta_measures import measures

        return measures(cast("MetaSession", session), curves, callbacks)

    @override
    def record(self, run: RunDirectory) -> RunRecord:
        from metaray.platform.report.record import RunRecord

        return RunRecord.read(run)

    @override
    def test_of(self, config: RunConfig) -> dict[str, Any]:
        task, shape = config.task, config.test_shape
        return {
            "dataset": config.data.name,
            "ways": None if shape.has_own_ways else task.ways,
            "shots": None if shape.varying is not None else task.shots,
            "queries": task.queries,
            "within_group": task.within_group,
            "rotations": _rotations(config),
            "num_episodes": config.evaluate.num_episodes,
        }

    @override
    def title(self, config: RunConfig, num_entries: int) -> str:
        task, head = config.task, f"{plural(num_entries, 'method')} on {config.data.label}"
        if config.data.is_regression:
            return f"{head}, {task.shots} examples per task"
        return f"{head}, {config.test_shape.label}"

    @override
    def limits(self, configs: Mapping[str, RunConfig], curves: Curves) -> list[str]:
        fixed = [name for name, config in configs.items() if config.method.fixed_head]
        if not fixed or len(curves.ways) < 2:
            return []
        ways = next(iter(configs.values())).task.ways
        return [f"At {ways} ways only, having one output per class: {', '.join(fixed)}."]


def _rotations(config: RunConfig) -> str | None:
    """Whether quarter turns of a class are classes of the test; None without images."""
    if config.data.is_regression:
        return None
    return config.evaluate.rotations or ("classes" if config.data.rotations == "all" else "none")


META_COMPARISON = MetaComparison()
