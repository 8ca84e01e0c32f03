"""Where a run stands, as it is told from its process to the one that shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event
from time import monotonic
from typing import Any, Literal

from metaray.platform.callbacks.monitor import TrainingWatch
from metaray.platform.common.errors import Stopped

State = Literal["waiting", "starting", "training", "testing", "done", "failed", "stopped"]


@dataclass(frozen=True, kw_only=True)
class Status:
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


class StatusMonitor:
    """Keeps the status of a run for whoever asks, and passes a request to stop on to it."""

    def __init__(self) -> None:
        self.status = Status(state="starting")
        self.stop = Event()

    def message(self, text: str) -> None:
        """Events are not shown: there are many runs."""

    @contextmanager
    def training(
        self, total_steps: int, start_step: int, at_most_s: float | None
    ) -> Iterator[TrainingWatch]:
        """Until ``stop`` is set."""
        self.status = Status(state="training", step=start_step, total_steps=total_steps)
        began = monotonic()

        def on_row(row: Mapping[str, Any]) -> None:
            elapsed = monotonic() - began
            step = row["step"]
            left = elapsed * (total_steps - step) / max(1, step - start_step)
            self.status = replace(
                self.status,
                step=step,
                loss=row.get("loss"),
                accuracy=row.get("accuracy"),
                validation=row.get("val_accuracy", self.status.validation),
                left_s=left if at_most_s is None else min(left, max(0.0, at_most_s - elapsed)),
            )

        yield TrainingWatch(on_row=on_row, notify=self.message, stop_requested=self.stop.is_set)

    @contextmanager
    def testing(self, num_episodes: int) -> Iterator[Callable[[int], None]]:
        """A test has no checkpoint to save, so a request to stop ends it where it is."""
        self.status = replace(self.status, state="testing", left_s=None)

        def advance(episodes: int) -> None:
            if self.stop.is_set():
                raise Stopped("stopped in the test")

        yield advance
