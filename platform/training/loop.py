"""The outer loop of every training: steps, rows of the log, validations, checkpoints, its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from time import perf_counter, sleep
from typing import Any, NamedTuple

from metaray.platform.common.errors import LearnerLostError, WorkersLostError
from metaray.platform.run.checkpoint import Checkpoint
from metaray.platform.run.metrics_log import MetricsRow
from metaray.platform.training.executor import Executor, Signal
from metaray.platform.training.writer import RunWriter


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How long training lasts, and what happens on the way."""

    total_steps: int
    validate_every: int
    """steps between validations; 0: never"""
    checkpoint_every: int
    """steps between checkpoints"""
    time_budget_s: float | None = None
    """seconds of training, over all starts of the run"""
    patience: int = 0
    """validations without improvement after which training ends; 0: never"""
    max_restarts: int = 0
    """how often a lost learner is replaced"""


class LoopResult(NamedTuple):
    """How training ended."""

    checkpoint: Checkpoint
    """of the last step"""
    stopped: bool
    """whether it was asked to, before it was done"""


class OuterLoop:
    """Takes an executor from the newest checkpoint to the last step."""

    def __init__(
        self,
        executor: Executor,
        writer: RunWriter,
        settings: LoopSettings,
        requested_workers: Callable[[], int | None] = lambda: None,
    ) -> None:
        """``requested_workers`` is asked between steps: a new number of workers, or None."""
        self._executor = executor
        self._writer = writer
        self._settings = settings
        self._requested_workers = requested_workers
        self._step = 0
        self._best_step: int | None = None
        self._best_score: float | None = None
        self._validated_at = 0
        self._wall_before = 0.0
        self._started = perf_counter()
        self._learners_lost = 0
        self._agreed = Signal.GO_ON

    def run(self) -> LoopResult:
        """Train to the last step, the end of time or patience, or a requested stop.

        Raises:
            TrainingError: training cannot continue; its checkpoints are kept.
        """
        try:
            self._rewind()
        except LearnerLostError as error:
            self._replace_learner(error)
        while True:
            try:
                return self._steps_to_the_end()
            except LearnerLostError as error:
                self._replace_learner(error)

    def _steps_to_the_end(self) -> LoopResult:
        while not (signal := self._signal()) and not self._is_done():
            if (workers := self._requested_workers()) is not None:
                self._executor.resize(workers)
            self._one_step()
        stopped = signal is Signal.STOP
        if not stopped and self._settings.validate_every and self._validated_at != self._step:
            self._validate()  # the end may lie between validations, and may be the best
        return LoopResult(self._save(), stopped)

    def _signal(self) -> Signal:
        return self._agreed if self._executor.runs_in_group else self._own_signal()

    def _own_signal(self) -> Signal:
        if self._writer.stop_requested():
            return Signal.STOP
        budget_s = self._settings.time_budget_s
        out_of_time = budget_s is not None and self._wall_s() >= budget_s
        return Signal.OUT_OF_TIME if out_of_time else Signal.GO_ON

    def _is_done(self) -> bool:
        every, patience = self._settings.validate_every, self._settings.patience
        if self._step >= self._settings.total_steps:
            return True
        if not (patience and every) or self._best_step is None:
            return False
        return (self._validated_at - self._best_step) / every >= patience

    def _one_step(self) -> None:
        settings = self._settings
        in_group = self._executor.runs_in_group
        signal = self._own_signal() if in_group else Signal.GO_ON
        outcome = self._executor.step(self._step, signal)
        self._agreed = outcome.signal
        self._step += 1
        row: MetricsRow = {"step": self._step, **outcome.row, "wall_s": self._wall_s()}
        if due(self._step, settings.validate_every, settings.total_steps):
            row |= self._validate()
        self._writer.record(row)
        if due(self._step, settings.checkpoint_every, settings.total_steps):
            self._save()

    def _validate(self) -> MetricsRow:
        metrics = self._executor.validate()
        self._validated_at = self._step
        score = validation_score(metrics)
        if self._best_score is None or score > self._best_score:
            self._best_step, self._best_score = self._step, score
            self._save()
        return metrics

    def _save(self) -> Checkpoint:
        checkpoint = replace(
            self._executor.snapshot(),
            best_step=self._best_step,
            best_score=self._best_score,
            wall_s=self._wall_s(),
        )
        self._writer.save(checkpoint)
        return checkpoint

    def _rewind(self) -> None:
        """Go to the newest checkpoint, and drop the rows of steps that come again."""
        checkpoint = self._writer.latest()
        if checkpoint is not None:
            self._executor.restore(checkpoint)
            self._step = self._validated_at = checkpoint.step
            self._best_step, self._best_score = checkpoint.best_step, checkpoint.best_score
            self._wall_before = checkpoint.wall_s
        self._started = perf_counter()
        self._writer.begin(self._step)
        if checkpoint is None:
            self._save()  # so that even the first interval can be resumed

    def _replace_learner(self, error: LearnerLostError) -> None:
        """Continue with another one; where its node was lost, Ray may place that one there too."""
        limit = self._settings.max_restarts
        for attempt in count(1):
            self._learners_lost += 1
            if self._learners_lost > limit:
                raise WorkersLostError(
                    f"lost the learner {self._learners_lost} times (workers.max_restarts = {limit};"
                    f" the last: {error}): look for lack of memory, then continue with --resume"
                ) from error
            try:
                self._rewind()
            except LearnerLostError as again:
                error = again
                sleep(attempt)
            else:
                break
        self._writer.message(f"the learner was lost and continues from step {self._step}")

    def _wall_s(self) -> float:
        return self._wall_before + perf_counter() - self._started


def validation_score(metrics: Mapping[str, Any]) -> float:
    """What the best step is chosen by: the accuracy, or minus the error of a regression."""
    accuracy = metrics.get("val_accuracy")
    return float(accuracy if accuracy is not None else -metrics["val_mse"])


def due(step: int, every: int, last: int) -> bool:
    """Whether something done every ``every`` steps (0: never) and at the end is due at ``step``."""
    return every > 0 and (step % every == 0 or step == last)
