"""What a run tells its surroundings while it computes, and how they stop it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console

from metaray.platform.callbacks.console import EvaluationProgress, TrainingProgress
from metaray.platform.common.shutdown import GracefulShutdown


@dataclass(frozen=True, kw_only=True)
class TrainingWatch:
    """The surroundings of one training."""

    on_row: Callable[[Mapping[str, Any]], None]
    """told the metrics of each outer step"""
    notify: Callable[[str], None]
    """told an event of the run"""
    stop_requested: Callable[[], bool]
    """asked between steps"""


class Monitor(Protocol):
    """Looks on while a run trains and is tested."""

    def message(self, text: str) -> None:
        """Take an event outside training."""

    def training(
        self, total_steps: int, start_step: int, at_most_s: float | None
    ) -> AbstractContextManager[TrainingWatch]:
        """Watch a training of ``total_steps``, of which ``start_step`` are done already."""

    def testing(self, num_episodes: int) -> AbstractContextManager[Callable[[int], None]]:
        """Watch a meta-test; what is yielded is told how many episodes were finished."""


@dataclass(frozen=True)
class TerminalMonitor:
    """Shows progress on a console; Ctrl-C or SIGTERM ends training after the current step."""

    console: Console
    title: str = "meta-training"
    """of the training"""

    def message(self, text: str) -> None:
        """A line."""
        self.console.print(text)

    @contextmanager
    def training(
        self, total_steps: int, start_step: int, at_most_s: float | None
    ) -> Iterator[TrainingWatch]:
        """A live panel, or lines."""
        with (
            GracefulShutdown() as stop,
            TrainingProgress(
                self.console, total_steps, start_step, at_most_s, self.title
            ) as progress,
        ):
            yield TrainingWatch(
                on_row=progress.step,
                notify=progress.message,
                stop_requested=lambda: stop.received is not None,
            )

    @contextmanager
    def testing(self, num_episodes: int) -> Iterator[Callable[[int], None]]:
        """A live panel, or lines."""
        with EvaluationProgress(self.console, "meta-test", num_episodes) as progress:
            yield progress.advance
