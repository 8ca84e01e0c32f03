"""Sweeps without Ray: the real searcher, study and trials, one after another in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from rich.console import Console

from metaray.platform.config.loading import with_overrides
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.platform.sweep import study as studies
from metaray.platform.sweep.plan import SweepPlan, make_plan
from metaray.platform.sweep.progress import SweepProgress
from metaray.tune_spaces.space import Choice, Float, Int, Space

if TYPE_CHECKING:
    from metaray.platform.sweep.searcher import StudySearcher

SPACE: Space = {
    "method.inner_lr": Float(0.05, 2.0, log=True),
    "task.train_shots": Int(1, 3),
    "train.schedule": Choice(("constant", "step")),
    "train.lr_step_every": Int(1, 4, when={"train.schedule": "step"}),
}


@pytest.fixture(scope="session")
def settings(tiny: list[str]) -> dict[str, Any]:
    """What the trials share."""
    extra = [
        "train.outer_steps=4",
        "train.validate_every=2",
        "train.checkpoint_every=2",
        "train.meta_batch_size=2",
        "train.validate_episodes=4",
        "model.width=4",
        "task.train_queries=2",
    ]
    return with_overrides({}, [*tiny, *extra])


class Bench:
    """A sweep directory, and a loop in the place of Tune's."""

    def __init__(self, path: Path, plan: SweepPlan, space: Any = SPACE) -> None:
        self.plan = plan
        self.space = space
        self.folder = SweepDirectory.create(path)
        self.study = studies.create_study(plan, self.folder, None)
        self.parallel = 100
        self.console = Console(width=200, file=StringIO())
        self.stopping: Callable[[], bool] = lambda: False

    def searcher(self) -> StudySearcher:
        """A new one, as after a restart, over the study as it is on the disk."""
        from metaray.platform.sweep.runner import searcher_of  # Ray: not while collecting

        self.study = studies.load_study(self.plan, self.folder, None)
        progress = SweepProgress(
            self.console,
            metrics=self.plan.metrics,
            outer_steps=self.plan.steps,
            num_trials=self.plan.num_trials,
            num_done=0,
            parallel=1,
            time_budget_s=None,
        )
        return searcher_of(self.plan)(
            self.plan,
            self.space,
            self.folder,
            self.study,
            self.plan.num_trials,
            self.parallel,
            progress,
            lambda: self.stopping(),
        )

    def run(self, at_most: int = 1000) -> None:
        """Up to ``at_most`` trials, one at a time."""
        searcher = self.searcher()
        for index in range(at_most):
            order = searcher.suggest(f"t{index}")
            if not isinstance(order, dict):
                return
            name = f"t{index}"
            result = self.train(order, partial(searcher.on_trial_result, name))
            searcher.on_trial_complete(name, result)

    @staticmethod
    def train(
        order: dict[str, Any], report: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any] | None:
        """What a trial does in its process."""
        from metaray.platform.common.errors import Stopped
        from metaray.platform.sweep.trial import train_trial

        try:
            return train_trial(order, report)
        except Stopped:
            return None

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """As the storage has them."""
        return studies.load_study(self.plan, self.folder, None).get_trials()


@pytest.fixture
def bench(tmp_path: Path, settings: dict[str, Any]) -> Callable[..., Bench]:
    """Makes a bench; ``sets`` are overrides of the settings, other arguments go to the plan."""

    def make(
        name: str = "sweep", space: Any = SPACE, sets: Sequence[str] = (), **options: Any
    ) -> Bench:
        shared = with_overrides(settings, sets)
        plan = make_plan(shared, study_name=name, **{"num_trials": 4, **options})
        return Bench(tmp_path / name, plan, space)

    return make


@pytest.fixture
def bench_of(tmp_path: Path) -> Callable[[SweepPlan, Space], Bench]:
    """Makes a bench of a plan."""
    return lambda plan, space: Bench(tmp_path / "sweep", plan, space)
