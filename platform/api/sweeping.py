"""Sweeps over settings from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from metaray.algorithms.errors import InputError
from metaray.platform.api.datasets import Dataset
from metaray.platform.api.methods import Method
from metaray.platform.api.models import check_importable
from metaray.platform.api.parts import Settings
from metaray.platform.api.process import console_for, ray_address, torch_settings_kept
from metaray.platform.api.run import Run
from metaray.platform.api.scored import Scored
from metaray.platform.api.settings import meta_tree
from metaray.platform.callbacks.base import Callback
from metaray.platform.config.tree import get
from metaray.platform.run.directory import fresh_place
from metaray.platform.run.storage.working_copy import shared_folder
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.tune_spaces.space import Choice, Float, Int

if TYPE_CHECKING:
    import pandas as pd

    from metaray.platform.sweep.results import SweepResult

SpaceLike = Mapping[str, "Float | Int | Choice"] | str | Path


class Sweep(Scored):
    """The result of ``sweep``; ``accuracy`` and ``ci95`` are of the test of the best trial.

    Attributes:
        folder: with ``sweep.html``, ``best.toml``, the tables, and a run directory for each trial.
    """

    def __init__(self, folder: Path, result: SweepResult) -> None:
        self.folder = folder
        self._result = result

    @property
    def summary(self) -> dict[str, Any]:  # type: ignore[override]
        """The summary of the best trial's test; InputError if no trial came to its end."""
        if self._result.test is None:
            raise InputError(f"no trial of {self.folder} came to its end: there is no best one")
        return self._result.test

    @property
    def best_settings(self) -> dict[str, Any]:
        """The searched settings of the best trial, by path."""
        return {} if self._result.best is None else dict(self._result.best.values)

    @property
    def best_run(self) -> Run:
        """The run of the best trial; InputError if no trial came to its end."""
        self.summary  # noqa: B018 - there is a best one
        assert self._result.best is not None
        return Run(SweepDirectory(self.folder).trial(self._result.best.number))

    @cached_property
    def trials(self) -> pd.DataFrame:
        """A row for each trial: its state, its metrics, and its searched settings."""
        import pandas as pd

        return pd.read_parquet(SweepDirectory(self.folder).trials_table).set_index("trial")

    @cached_property
    def curves(self) -> pd.DataFrame:
        """A row for each validation of each trial."""
        import pandas as pd

        return pd.read_parquet(SweepDirectory(self.folder).curves_table)

    def __repr__(self) -> str:
        return f"Sweep({str(self.folder)!r}, {len(self.trials)} trials, best {self.best_settings})"

    def _repr_html_(self) -> str:
        html: str = self.trials.to_html(float_format="{:.4g}".format)
        return html


def sweep(
    method: Method | str | None = None,
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
    """Search the settings of a method on validation, then test the best trial, once.

    Example::

        result = mr.sweep(
            mr.MAML(), data, space={"method.inner_lr": mr.Float(0.05, 1.0, log=True)},
            num_trials=20, settings={"train.outer_steps": 300},
        )
        print(result.best_settings, result.accuracy)

    Args:
        method: such as ``mr.MAML()``.
        data: such as ``mr.datasets.Omniglot("data/omniglot")``; drawn glyphs if left out.
        space: ranges by path of ``mr.Float``, ``mr.Int`` and ``mr.Choice``, or a file of them;
            those of the method if left out.
        num_trials: number of trials.
        time_budget_s: seconds after which the search ends.
        metrics: what to optimize, such as "val_accuracy"; several make a Pareto front.
        sampler: "tpe", "cmaes", "random" or "grid".
        scheduler: what ends poor trials early: "asha", "hyperband", "pbt" or "none".
        grace: outer steps before a trial may be ended.
        sampler_seed: seed of the sampler.
        ways: classes per episode (N).
        shots: labelled examples per class (K).
        queries: examples to predict per class.
        out: new folder, on a disk that all nodes share; None: a name with the time in ``runs``.
        parallel: trials at once; as many as there is room for if left out.
        storage: URL of an Optuna storage; a file in ``out`` if left out.
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
        Stopped: the sweep was interrupted.
    """
    from metaray.platform.sweep import sweep as story
    from metaray.platform.sweep.plan import make_plan
    from metaray.platform.sweep.space_file import space_text
    from metaray.platform.sweep.storage import shown

    tree = meta_tree(
        method, data, ways=ways, shots=shots, queries=queries, workers=workers, seed=seed,
        settings=settings,
    )  # fmt: skip
    check_importable(str(get(tree, "model.name", "")), other_processes=True)
    folder = shared_folder(str(out or fresh_place("sweep")), "a sweep")
    with TemporaryDirectory() as temporary, torch_settings_kept(), console_for(progress) as console:
        file = None if space is None or isinstance(space, Mapping) else Path(space).expanduser()
        if isinstance(space, Mapping):
            file = Path(temporary) / "space.toml"
            file.write_text(space_text(dict(space)), encoding="utf-8")
        plan = make_plan(
            tree,
            metrics=(metrics,) if isinstance(metrics, str) else metrics,
            num_trials=num_trials,
            sampler=sampler,
            scheduler=scheduler,
            grace=grace,
            seed=sampler_seed,
            space_suffix=file.suffix if file else None,
            study_name=folder.name,
            storage=shown(storage) if storage else None,
        )
        options = story.LaunchOptions(
            ray_address(address), parallel, time_budget_s, storage, tuple(callbacks)
        )
        return Sweep(folder, story.sweep(plan, file, folder, options, console))
