"""A run and its tests as Python objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import override

from metaray.algorithms.configs import BatchNormMode
from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import user_path
from metaray.algorithms.reading import refusing_damage
from metaray.platform.api import runs
from metaray.platform.api.datasets import Dataset
from metaray.platform.api.display import html_table, result_rows, score_text
from metaray.platform.api.parts import Settings
from metaray.platform.api.process import running, show_figures_in_notebooks
from metaray.platform.api.scored import Evaluation, Scored
from metaray.platform.api.settings import overrides, workers_section
from metaray.platform.callbacks.base import Callback
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsLog
from metaray.platform.run.summary import read_summary

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from metaray.platform.config.schema import ExperimentConfig
    from metaray.platform.inference.adapted_model import AdaptedModel
    from metaray.platform.inference.learner import Learner
    from metaray.platform.inference.pictures import Picture


class Run(Scored):
    """A run in its folder: what ``Trainer.fit``, ``transfer`` and ``load`` return.

    Everything is read from the folder when it is asked for, so this works for a run that is still
    training in another process.
    """

    def __init__(self, place: str | Path) -> None:
        """Open the run in a folder, or at an ``s3://``, ``gs://`` or ``file://`` URI.

        Raises:
            InputError: no run is there.
        """
        self.place = str(place)
        RunDirectory.open(self.folder)

    @property
    def folder(self) -> Path:
        """The run directory; of a run that is kept at a URI, a copy of its small files."""
        return user_path(self.place) if self._download is None else self._download

    @property
    def config(self) -> ExperimentConfig:
        """All settings of the run."""
        return runs.config_of(RunDirectory(self.folder))

    @property
    @override
    def summary(self) -> dict[str, Any]:  # type: ignore[override]
        """The numbers of ``summary.json``: of the latest test, and of the training.

        Raises:
            InputError: the run was not tested yet.
        """
        summary = read_summary(RunDirectory(self.folder))
        if summary is None:
            raise InputError(
                f"{self.place} has no result yet: train it to the end with .resume(), or test it "
                "with .evaluate()"
            )
        return summary

    @property
    def history(self) -> pd.DataFrame:
        """The metrics of each training step, with the step as index; validations as ``val_...``."""
        import pandas as pd

        rows = self._rows()
        return pd.DataFrame(rows, columns=None if rows else ["step"]).set_index("step")

    @property
    def episodes(self) -> pd.DataFrame:
        """A row for each episode of the latest test.

        Raises:
            InputError: the run was not tested yet, or is no meta-training.
        """
        path = RunDirectory(self.folder).episodes
        if not path.is_file():
            raise InputError(f"{self.place} has no tested episodes: test it with .evaluate()")
        import pandas as pd

        with refusing_damage(f"{path} is not a table of episodes", "test the run again"):
            return pd.read_parquet(path)

    def plot(self) -> Figure:
        """The curves of training and validation, as a figure of matplotlib.

        A notebook shows it; ``run.plot().savefig("curves.png")`` writes it to a file.

        Raises:
            InputError: the run has not made a step yet.
        """
        from metaray.platform.api.plotting import curves_figure

        figure = curves_figure(self._rows())
        if figure is None:
            raise InputError(f"{self.place} has not made a step yet: there is nothing to plot")
        show_figures_in_notebooks()
        return figure

    def evaluate(
        self,
        *,
        episodes: int | None = None,
        ways: int | None = None,
        shots: int | None = None,
        queries: int | None = None,
        batch_norm: BatchNormMode | None = None,
        checkpoint: Literal["best", "last"] | None = None,
        data: Dataset | None = None,
        workers: int | Settings = 0,
        settings: Settings | None = None,
        progress: bool = True,
        address: str | None = None,
    ) -> Evaluation:
        """Test the run on episodes of classes that training never saw.

        The result also becomes the run's ``summary`` and report; earlier ones stay in the folder
        ``evaluations``. What is left out is as in the run.

        Args:
            episodes: number of test episodes.
            ways: classes per episode (N).
            shots: labelled examples per class (K).
            queries: examples to predict per class.
            batch_norm: "transductive" or "inductive".
            checkpoint: "best" on validation, or "last".
            data: another data set to test on.
            workers: Ray workers, or the settings of the section ``workers``; 0: this process.
            settings: other settings by path, such as ``{"method.eval_inner_steps": 10}``.
            progress: show progress.
            address: Ray cluster; None: the Ray that this process uses, else a new one.

        Raises:
            InputError: no checkpoint yet, or a setting that evaluation does not allow.
        """
        given = {
            "task": {"ways": ways, "shots": shots, "queries": queries},
            "evaluate": {
                "num_episodes": episodes, "batch_norm": batch_norm, "checkpoint": checkpoint
            },
            "data": data,
            "workers": workers_section(workers),
        }  # fmt: skip
        with running(progress, address) as (where, callbacks):
            summary = runs.evaluate(self.place, overrides(settings, given), where, callbacks)
        self._forget_download()
        return Evaluation(summary, self.episodes)

    @cached_property
    def learner(self) -> Learner:
        """The trained model, which learns new classes from a few pictures.

        Raises:
            InputError: there is no checkpoint yet, or it was not trained on classes of pictures.
        """
        return runs.learner_of(self.place)

    def adapt(
        self,
        images: Iterable[Picture] | str | Path,
        labels: Sequence[Any] | None = None,
        *,
        invert: bool | None = None,
    ) -> AdaptedModel:
        """Learn the classes of a task.

        Args:
            images: support pictures, or a folder, zip or CSV file of them.
            labels: the class of each; None where ``images`` says it.
            invert: whether dark ink on a light ground becomes the reverse; None: as in training.

        Returns:
            The model of this task, which predicts; see ``Learner.adapt``.

        Raises:
            InputError: as of ``Learner.adapt`` and of ``learner``.
        """
        return self.learner.adapt(images, labels, invert=invert)

    def resume(
        self,
        *,
        outer_steps: int | None = None,
        workers: int | Settings | None = None,
        settings: Settings | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool = True,
        address: str | None = None,
    ) -> Run:
        """Continue an interrupted run from its last checkpoint, or train a finished one further.

        Args:
            outer_steps: new total number of outer steps.
            workers: Ray workers, or settings of the section ``workers``; 0: this process;
                None: as before.
            settings: other settings by path that do not shape the parameters.
            callbacks: subclasses of ``mr.Callback`` that follow the run.
            progress: show progress.
            address: Ray cluster; None: the Ray that this process uses, else a new one.

        Returns:
            This run.

        Raises:
            InputError: a setting that cannot be changed any more, or fewer steps than are done.
            TrainingError: the run cannot continue; its last checkpoint is kept.
            Stopped: the run was interrupted; there is a checkpoint.
        """
        given = {"train": {"outer_steps": outer_steps}, "workers": workers_section(workers)}
        with running(progress, address, callbacks) as (where, listeners):
            runs.resume(self.place, overrides(settings, given), where, listeners)
        self._forget_download()
        return self

    @override
    def __repr__(self) -> str:
        return f"Run({self.place!r}, {self._state()})"

    def _repr_html_(self) -> str:
        path = RunDirectory(self.folder).summary
        rows = result_rows(self.summary) if path.is_file() else [("state", self._state())]
        steps = self.history.index
        rows.append(("steps", f"{steps[-1]:,}" if len(steps) else "none"))
        return html_table(runs.title_of(self.config), [*rows, ("run", self.place)])

    def _rows(self) -> list[dict[str, Any]]:
        path = RunDirectory(self.folder).metrics
        return MetricsLog.read(path) if path.exists() else []

    def _state(self) -> str:
        path = RunDirectory(self.folder).summary
        return score_text(self.summary) if path.is_file() else "not tested yet"

    @cached_property
    def _download(self) -> Path | None:
        self._temporary = runs.download(self.place)
        return None if self._temporary is None else Path(self._temporary.name)

    def _forget_download(self) -> None:
        for name in ("_download", "learner"):
            self.__dict__.pop(name, None)


def place_of(run: Run | str | Path) -> str:
    """The folder or URI of a run, or what stands for one."""
    return run.place if isinstance(run, Run) else str(run)


def evaluate(run: Run | str | Path, **options: Any) -> Evaluation:
    """Test a run, or the run at a place; ``options`` are those of ``Run.evaluate``."""
    return (run if isinstance(run, Run) else Run(run)).evaluate(**options)
