"""Where a run stands, as its process tells the one that shows it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import monotonic
from typing import Literal

from typing_extensions import override

from metaray.platform.callbacks.base import Callback, RunInfo
from metaray.platform.callbacks.events import EvaluationStarted, Event, TrainingStarted
from metaray.platform.run.metrics_log import MetricsRow

State = Literal["waiting", "starting", "training", "testing", "done", "failed", "stopped"]


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """One line of the table of runs."""

    state: State = "waiting"
    step: int = 0
    total_steps: int = 0
    loss: float | None = None
    accuracy: float | None = None
    validation: float | None = None
    left_s: float | None = None
    """of training"""
    reason: str = ""
    """why it failed"""


class ProgressCallback(Callback):
    """Keeps the progress of a run for the process that asks for it."""

    in_training_thread = True

    def __init__(self) -> None:
        self.progress = RunProgress(state="starting")
        self._info: RunInfo | None = None
        self._began_s = 0.0

    @override
    def on_start(self, info: RunInfo) -> None:
        self._info = info

    @override
    def on_event(self, event: Event) -> None:
        match event:
            case TrainingStarted() if (info := self._info) is not None:
                self.progress = RunProgress(
                    state="training", step=info.start_step, total_steps=info.total_steps
                )
                self._began_s = monotonic()
            case EvaluationStarted():
                self.progress = replace(self.progress, state="testing", left_s=None)

    @override
    def on_step(self, row: MetricsRow) -> None:
        self.progress = replace(
            self.progress,
            step=row["step"],
            loss=row.get("loss"),
            accuracy=row.get("accuracy"),
            validation=row.get("val_accuracy", self.progress.validation),
            left_s=self._left_s(row["step"]),
        )

    def _left_s(self, step: int) -> float:
        """By the rate of steps so far, or by the time budget where that ends first."""
        info = self._info
        assert info is not None
        elapsed_s = monotonic() - self._began_s
        left_s = elapsed_s * (info.total_steps - step) / max(1, step - info.start_step)
        if info.time_left_s is None:
            return left_s
        return min(left_s, max(0.0, info.time_left_s - elapsed_s))
