"""Reads the folder of a run or a sweep again and again."""

from __future__ import annotations

from pathlib import Path
from time import time
from typing import Any

from metaray.algorithms.errors import InputError
from metaray.platform.common.formatting import plural
from metaray.platform.experiment.registry import experiment_in
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.status import Status, TrialState
from metaray.platform.run.summary import read_summary
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.platform.sweep.plan import SweepPlan
from metaray.platform.sweep.progress import metric_text
from metaray.platform.watch.log_tail import LogTail
from metaray.platform.watch.snapshot import (
    Curve,
    Plot,
    Snapshot,
    points_of,
    run_metrics,
    run_plots,
    seconds_left,
)

_SILENT_S = 60.0
_MOST_TRIALS = 30


class RunReader:
    """Of a meta-training or a transfer job."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._log = LogTail(run.metrics)
        experiment = experiment_in(run)
        config = experiment.read(run.config)
        self._title = experiment.title(config)
        self._experiment = experiment
        self._steps = experiment.steps(config)

    def read(self) -> Snapshot:
        """Where it stands now."""
        status, rows = Status.read(self._run.path), self._log.read()
        state = state_of(status, self._run.summary)
        total = (status.total_steps if status else 0) or self._steps
        is_training = state in ("training", "silent")
        metrics = run_metrics(rows)
        if self._log.damaged:
            metrics += (f"{plural(self._log.damaged, 'damaged line')} of metrics.jsonl left out",)
        if status and state == "testing" and status.to_test:
            metrics += (f"tested {status.tested} of {status.to_test} episodes",)
        return Snapshot(
            title=self._title,
            folder=str(self._run.path),
            state=state,
            is_over=state in ("done", "stopped", "failed", "killed"),
            done=rows[-1]["step"] if rows else 0,
            total=total,
            unit="step",
            elapsed_s=rows[-1].get("wall_s") if rows else None,
            left_s=_bounded(seconds_left(rows, total), status) if is_training else None,
            metrics=metrics,
            plots=run_plots(rows),
            workers=status.workers if status else (),
            trials=(),
            best=None,
            events=status.events if status else (),
            result=self._result() if state == "done" else (),
        )

    def _result(self) -> tuple[str, ...]:
        try:
            summary = read_summary(self._run)
        except InputError as error:
            return (str(error),)
        if summary is None:
            return ()
        return tuple(line.plain.strip() for line in self._experiment.result_lines(summary))


class SweepReader:
    """Of a sweep."""

    def __init__(self, folder: SweepDirectory) -> None:
        self._folder = folder
        self._plan = SweepPlan.read(folder.plan)
        self._logs: dict[int, LogTail] = {}
        self._title = f"sweep: {self._plan.experiment.title(self._plan.base)}"

    def read(self) -> Snapshot:
        """Where it stands now."""
        status = Status.read(self._folder.path)
        state = state_of(status, self._folder.summary)
        trials = status.trials if status else ()
        ended = [trial for trial in trials if trial.state not in ("running", "waiting")]
        planned = status.planned_trials if status else self._plan.num_trials
        elapsed = status.updated - status.began if status else None
        return Snapshot(
            title=self._title,
            folder=str(self._folder.path),
            state=state,
            is_over=state in ("done", "stopped", "failed", "killed"),
            done=len(ended),
            total=planned,
            unit="trial",
            elapsed_s=elapsed,
            left_s=elapsed * (planned - len(ended)) / len(ended)
            if elapsed and ended and state == "training"
            else None,
            metrics=self._metrics(status),
            plots=self._plots(trials),
            workers=(),
            trials=trials,
            best=status.best if status else None,
            events=status.events if status else (),
            result=(),
        )

    def _metrics(self, status: Status | None) -> tuple[str, ...]:
        if status is None:
            return ()
        counts: dict[str, int] = {}
        for trial in status.trials:
            counts[trial.state] = counts.get(trial.state, 0) + 1
        metrics = tuple(f"{number} {state}" for state, number in counts.items())
        if (best := status.best) is None:
            return metrics
        return (
            *metrics,
            f"best: trial {best.trial}, {best.metric} {metric_text(best.metric, best.value)}",
        )

    def _plots(self, trials: tuple[TrialState, ...]) -> tuple[Plot, ...]:
        """The optimized metric on the way, of the latest trials."""
        key = self._plan.metrics[0]
        curves = []
        for trial in trials[-_MOST_TRIALS:]:
            path = RunDirectory(self._folder.trial(trial.number)).metrics
            log = self._logs.setdefault(trial.number, LogTail(path))
            if points := points_of(log.read(), key):
                curves.append(Curve(name=f"trial {trial.number}", points=points))
        is_share = key == "val_accuracy"
        return (Plot(title=key, curves=tuple(curves), is_share=is_share),) if curves else ()


def is_watchable(folder: Path) -> bool:
    """Whether ``folder`` holds a run or a sweep."""
    return RunDirectory(folder).config.is_file() or SweepDirectory(folder).plan.is_file()


def reader_of(folder: Path) -> RunReader | SweepReader:
    """That of what ``folder`` holds.

    Raises:
        InputError: neither a run nor a sweep.
    """
    if SweepDirectory(folder).plan.is_file():
        return SweepReader(SweepDirectory.open(folder.absolute()))
    if (folder / "compare.json").is_file():
        raise InputError(f"{folder} is a comparison: watch one of the runs in it")
    return RunReader(RunDirectory.open(folder))


def state_of(status: Status | None, summary: Path) -> str:
    """What the status says, less what cannot be so any more."""
    if status is None:
        return "done" if summary.exists() else "unknown"
    if status.is_over:
        return status.state
    if not status.is_alive:
        return "killed"
    return "silent" if time() - status.updated > _SILENT_S else status.state


def _bounded(left_s: float | None, status: Status | None) -> float | None:
    """By the time budget, where there is one."""
    if status is None or status.at_most_s is None:
        return left_s
    budget: Any = max(0.0, status.at_most_s - (time() - status.began))
    return float(budget if left_s is None else min(left_s, budget))
