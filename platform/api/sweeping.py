"""Sweeps over settings from Python."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import user_path
from metaray.platform.api.datasets import Dataset
from metaray.platform.api.jobs import Job
from metaray.platform.api.methods import Method
from metaray.platform.api.models import NetworkLike, check_importable
from metaray.platform.api.parts import Settings
from metaray.platform.api.process import console_for, ray_address, torch_settings_kept
from metaray.platform.api.run import Run, place_of
from metaray.platform.api.scored import Scored
from metaray.platform.api.settings import trial_tree
from metaray.platform.callbacks.base import Callback
from metaray.platform.config.tree import flat, get
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.tune_spaces.space import Choice, Float, Int

if TYPE_CHECKING:
    import pandas as pd

    from metaray.platform.sweep.results import SweepResult

STORAGE_VARIABLE = "METARAY_STORAGE"
SpaceLike = Mapping[str, "Float | Int | Choice"] | str | Path


class Sweep(Scored):
    """A sweep in its folder, finished or not: what ``sweep`` returns.

    ``accuracy`` and ``ci95`` are of the test of the best trial.

    Attributes:
        folder: with ``sweep.html``, ``best.toml``, the tables, and a run directory for each trial.
    """

    def __init__(self, folder: str | Path, storage: str | None = None) -> None:
        """The sweep in a folder, whether it is finished, was stopped, or still runs.

        Args:
            folder: as ``out`` of ``sweep``, or ``--out`` of ``metaray sweep``.
            storage: URL of the Optuna storage, if the sweep has one and METARAY_STORAGE is not set.

        Raises:
            InputError: no sweep is there.
        """
        self.folder = SweepDirectory.open(user_path(folder)).path
        self._storage = storage or os.environ.get(STORAGE_VARIABLE)

    @property
    @override
    def summary(self) -> dict[str, Any]:  # type: ignore[override]
        """The summary of the best trial's test.

        Raises:
            InputError: no trial is complete, or the best one is not tested yet.
        """
        self._best_number  # noqa: B018 - there is a best one
        if self._result.test is None:
            raise InputError(
                f"the best trial of {self.folder} is not tested yet: finish the sweep with "
                ".resume()"
            )
        return self._result.test

    @property
    def best_settings(self) -> dict[str, Any]:
        """The searched settings of the best trial, by path; empty if no trial is complete."""
        return {} if self._result.best is None else dict(self._result.best.values)

    @property
    def best_run(self) -> Run:
        """The run of the best trial; InputError if no trial is complete."""
        return Run(SweepDirectory(self.folder).trial(self._best_number))

    @property
    def trials(self) -> pd.DataFrame:
        """A row for each trial: its state, its metrics, and its searched settings."""
        from metaray.platform.sweep.results import trials_table

        return trials_table(self._result).to_pandas().set_index("trial")

    @property
    def curves(self) -> pd.DataFrame:
        """A row for each validation of each trial."""
        from metaray.platform.sweep.results import curves_table

        return curves_table(self._result).to_pandas()

    def resume(
        self,
        *,
        num_trials: int | None = None,
        time_budget_s: float | None = None,
        parallel: int | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
        address: str | None = None,
    ) -> Sweep:
        """Finish the sweep, or continue with more trials. What is finished is kept.

        Trials that were running continue from their checkpoints, and the best trial is tested.

        Args:
            num_trials: new total number of trials; as before if left out.
            time_budget_s: seconds after which the search ends.
            parallel: trials at once; as many as there is room for if left out.
            callbacks: follow the sweep.
            progress: show progress.
            address: Ray cluster; None: the Ray that this process uses, else a new one.

        Returns:
            This sweep.

        Raises:
            InputError: the study of the sweep is gone, or it takes no more trials.
            TrainingError: Ray ended before all trials did; resuming again continues.
            Stopped: the sweep was interrupted.
        """
        from metaray.platform.sweep import sweep as story

        options = story.LaunchOptions(
            ray_address(address), parallel, time_budget_s, self._storage, tuple(callbacks)
        )
        with torch_settings_kept(), console_for(progress) as console, self._changing():
            story.resume(self.folder, num_trials, options, console)
        return self

    @override
    def __repr__(self) -> str:
        count = len(self._result.trials)
        return f"Sweep({str(self.folder)!r}, {count} trials, best {self.best_settings})"

    def _repr_html_(self) -> str:
        html: str = self.trials.to_html(float_format="{:.4g}".format)
        return html

    @property
    def _best_number(self) -> int:
        if self._result.best is None:
            raise InputError(f"no trial of {self.folder} came to its end: there is no best one")
        return self._result.best.number

    @cached_property
    def _result(self) -> SweepResult:
        from metaray.platform.sweep import sweep as story

        return story.read(self.folder, self._storage)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.__dict__.pop("_result", None)  # it is read again


def sweep(
    method: Method | Job | str | None = None,
    data: Dataset | str | None = None,
    *,
    space: SpaceLike | None = None,
    num_trials: int | None = None,
    time_budget_s: float | None = None,
    metrics: Sequence[str] | str | None = None,
    sampler: str | None = None,
    scheduler: str | None = None,
    grace: int | None = None,
    sampler_seed: int | None = None,
    ways: int | None = None,
    shots: int | None = None,
    queries: int | None = None,
    target: Dataset | None = None,
    model: NetworkLike | None = None,
    init: Run | str | Path | None = None,
    out: str | Path | None = None,
    parallel: int | None = None,
    storage: str | None = None,
    workers: int | Settings = 0,
    seed: int | None = None,
    settings: Settings | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    address: str | None = None,
) -> Sweep:
    """Search the settings of a method or transfer job on validation, then test the best trial.

    Settings that are set are not searched: ``settings`` wins over every space, and what else is
    given, as in ``mr.MAML(inner_lr=0.1)``, over the space that is used if ``space`` is left out.

    Example::

        result = mr.sweep(
            mr.MAML(), data, space={"method.inner_lr": mr.Float(0.05, 1.0, log=True)},
            num_trials=20, settings={"train.outer_steps": 300},
        )
        print(result.best_settings, result.accuracy)

    Args:
        method: such as ``mr.MAML()`` or ``mr.jobs.Finetune()``; a transfer job needs
            ``settings={"train.steps": ...}``.
        data: such as ``mr.datasets.Omniglot("data/omniglot")``; drawn glyphs if left out.
        space: ranges by path of ``mr.Float``, ``mr.Int`` and ``mr.Choice``, or a file of them;
            those of the method or job if left out.
        num_trials: number of trials.
        time_budget_s: seconds after which the search ends.
        metrics: what to optimize, such as "val_accuracy"; several make a Pareto front.
        sampler: "tpe", "cmaes", "random" or "grid".
        scheduler: what ends poor trials early: "asha", "hyperband", "pbt" or "none".
        grace: steps before a trial may be ended.
        sampler_seed: seed of the sampler.
        ways: classes per episode (N).
        shots: labelled examples per class (K).
        queries: examples to predict per class.
        target: the other domain, for transfer jobs that have one.
        model: the network of a transfer job; that of ``init`` if left out.
        init: a run whose encoder the network of each trial starts from.
        out: new folder, on a disk that all nodes share; None: a name with the time in ``runs``.
        parallel: trials at once; as many as there is room for if left out.
        storage: URL of an Optuna storage; METARAY_STORAGE, or a file in ``out``, if left out.
        workers: Ray workers of each trial, or the settings of the section ``workers``; 0: one
            process for each trial.
        seed: root of the random choices of each trial.
        settings: any other settings of all trials by path.
        callbacks: follow the sweep; ``settings={"monitoring.callbacks": ...}`` follow each trial
            too.
        progress: show progress.
        address: Ray cluster; None: the Ray that this process uses, else a new one.

    Raises:
        InputError: bad input, before a trial starts.
        TrainingError: Ray ended before all trials did; ``.resume()`` continues.
        Stopped: the sweep was interrupted.
    """
    from metaray.platform.sweep import sweep as story
    from metaray.platform.sweep.new_plan import new_plan

    tree = trial_tree(
        method,
        data,
        episodes={"ways": ways, "shots": shots, "queries": queries},
        transfer={"target": target, "model": model},
        checkpoint=None if init is None else place_of(init),
        workers=workers,
        seed=seed,
        settings=settings,
    )
    check_importable(str(get(tree, "model.name", "")), other_processes=True)
    given = user_path(space) if isinstance(space, str | Path) else space
    storage = storage or os.environ.get(STORAGE_VARIABLE)
    plan, folder = new_plan(
        tree,
        set_keys=[key for key, _ in flat(settings or {})],
        space=given,
        out=out,
        storage=storage,
        metrics=(metrics,) if isinstance(metrics, str) else metrics,
        num_trials=num_trials,
        sampler=sampler,
        scheduler=scheduler,
        grace=grace,
        seed=sampler_seed,
    )
    options = story.LaunchOptions(
        ray_address(address), parallel, time_budget_s, storage, tuple(callbacks)
    )
    with torch_settings_kept(), console_for(progress) as console:
        story.sweep(plan, given, folder, options, console)
    return Sweep(folder, storage)
