"""One trial: a training as its own command does it, which reports its validations to Tune.

Its run directory is the truth: a trial that Tune paused, restarted after a lost node, or that an
interrupted sweep left behind continues from its own last checkpoint, with the same bits.
"""

from __future__ import annotations

import json
import os
import shutil
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from ray import tune
from typing_extensions import override

from metaray.algorithms.atomic import write_text
from metaray.algorithms.errors import DiskError, InputError
from metaray.platform.callbacks.base import Callback, RunInfo
from metaray.platform.common.errors import Stopped, TrainingError, first_line
from metaray.platform.common.malloc_tuning import return_freed_memory
from metaray.platform.config.loading import validate_as
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.experiment import runner
from metaray.platform.experiment.registry import experiment_of
from metaray.platform.experiment.session import Session
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsLog, MetricsRow
from metaray.platform.sweep.outcome import Metrics, TrialResult
from metaray.platform.sweep.plan import address_of
from metaray.platform.training.loop import validation_score

Report = Callable[[Metrics], None]

_LONGEST_END_S = 300  # of a pruned trial: background callbacks have half a minute each


def run_trial(spec: Mapping[str, Any]) -> None:
    """What Tune calls. ``spec`` is one of ``StudySearcher``."""
    os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", str(_LONGEST_END_S))
    folder = Path(spec["folder"])
    try:
        metrics = train_trial(spec, tune.report)
    except Stopped:
        return  # paused at the end of its segment
    except Exception as error:  # a trial that fails must not end the sweep
        TrialResult(metrics={}, failure=failure_reason(error, folder)).write(folder)
        return
    finally:
        return_freed_memory()  # Tune uses the process for other trials
    tune.report(metrics)


def train_trial(spec: Mapping[str, Any], report: Report) -> Metrics:
    """Train or continue in a folder; the metrics of the parameters that a test would take.

    Args:
        spec: ``folder``, ``config`` (JSON), ``time_adaptation``, and ``until``: the step at which
            to save and stop, or None for the last.
        report: told the metrics after each validation but the last, whose are returned.

    Raises:
        Stopped: at the step ``until``.
        InputError, TrainingError: as ``runner.fit``.
    """
    folder, tree = Path(spec["folder"]), json.loads(spec["config"])
    config: ExperimentConfig = validate_as(experiment_of(tree).config_class, tree)
    run = RunDirectory(folder)
    if folder.exists() and not run.config.exists():
        shutil.rmtree(folder)  # killed while it was being made
    reporter = TrialReporter(config, run, report, spec["until"])
    session = runner.fit(config, folder, address_of(config), [reporter])
    rows = MetricsLog.read(run.metrics) or [_without_training(session)]
    metrics = kept_metrics(rows, config)
    if spec["time_adaptation"]:
        metrics["adapt_s"] = session.adaptation_time()
    TrialResult(metrics=metrics).write(folder)
    return metrics


class TrialReporter(Callback):
    """Reports validations between steps, when what it reports has been saved.

    It reports every validation but that of the last step. A trial that continues reports its
    earlier ones again: a scheduler that was started again then decides as the one before it would
    have.
    """

    in_training_thread = True

    def __init__(
        self, config: ExperimentConfig, run: RunDirectory, report: Report, until: int | None
    ) -> None:
        self._config = config
        self._run = run
        self._report = report
        self._until = until
        self._total_steps = self._start_step = 0
        self._rows: list[dict[str, Any]] = []
        self._reported: int | None = None  # rows; None before the earlier ones are read

    @override
    def on_start(self, info: RunInfo) -> None:
        self._start_step, self._total_steps = info.start_step, info.total_steps
        info.stop.add_condition(self._between_steps)

    @override
    def on_step(self, row: MetricsRow) -> None:
        self._rows.append(dict(row))

    def _between_steps(self) -> bool:
        """Report; whether the trial waits for the others now. What is raised here ends the run."""
        rows = self._rows
        if self._reported is None:
            earlier = MetricsLog.read(self._run.metrics) if self._run.metrics.exists() else []
            rows[:0] = [row for row in earlier if row["step"] <= self._start_step]
            self._reported = 0
        while self._reported < len(rows):
            self._reported += 1
            last = rows[self._reported - 1]
            if "val_ci95" in last and last["step"] < self._total_steps:
                # Tune may end the trial in here
                self._report(kept_metrics(rows[: self._reported], self._config))
        done = rows[-1]["step"] if rows else 0
        return self._until is not None and done >= self._until


def _without_training(session: Session) -> MetricsRow:
    """What takes the place of a log where a method trains nothing."""
    began = perf_counter()
    return {"step": 0, **session.validation(), "wall_s": perf_counter() - began}


def kept_metrics(rows: list[dict[str, Any]], config: ExperimentConfig) -> Metrics:
    """Validation of the parameters that the run keeps: the best so far, or the last."""
    validated = [row for row in rows if "val_ci95" in row]
    kept = validated[-1]
    if config.evaluate.checkpoint == "best":
        kept = max(validated, key=validation_score)  # the first of equals, as the loop has it
    shown = {key: value for key, value in kept.items() if key.startswith("val_")}
    last = rows[-1]
    return {"step": last["step"], "kept_step": kept["step"], **shown, "wall_s": last["wall_s"]}


def failure_reason(error: Exception, folder: Path) -> str:
    """One sentence; of what is no ordinary failure, the traceback goes to a file."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(error, InputError | TrainingError | DiskError):
        return str(error)
    path = folder / "error.txt"
    write_text(path, traceback.format_exc())
    return f"{type(error).__name__}: {first_line(error)} (see {path})"
