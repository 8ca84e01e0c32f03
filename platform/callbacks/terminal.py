"""What a person sees of a run on the console."""

from __future__ import annotations

from contextlib import ExitStack

from rich.console import Console
from typing_extensions import override

from metaray.platform.callbacks.base import Callback, EndState, RunInfo
from metaray.platform.callbacks.console import EvaluationProgress, TrainingProgress, print_line
from metaray.platform.callbacks.events import (
    EvaluationAdvanced,
    EvaluationEnded,
    EvaluationStarted,
    Event,
    Message,
    TrainingEnded,
    TrainingStarted,
)
from metaray.platform.common.terminal import waiting
from metaray.platform.run.metrics_log import MetricsRow


class Terminal(Callback):
    """Progress of training and test: a live panel on a terminal, plain lines elsewhere."""

    follows_nested_runs = True
    in_training_thread = True

    def __init__(self, console: Console, title: str = "meta-training") -> None:
        """``title`` names the training."""
        self._console = console
        self._title = title
        self._info: RunInfo | None = None
        self._training: TrainingProgress | None = None
        self._evaluation: EvaluationProgress | None = None
        self._shown = ExitStack()
        self._waiting = ExitStack()

    @override
    def on_start(self, info: RunInfo) -> None:
        self._info = info

    @override
    def on_step(self, row: MetricsRow) -> None:
        if self._training is not None:
            self._training.step(row)

    @override
    def on_event(self, event: Event) -> None:
        self._waiting.close()
        match event:
            case TrainingStarted():
                self._training = self._shown.enter_context(self._new_panel())
            case EvaluationStarted():
                bar = EvaluationProgress(self._console, "meta-test", event.total)
                self._evaluation = self._shown.enter_context(bar)
            case EvaluationAdvanced() if self._evaluation is not None:
                self._evaluation.advance(event.done)
            case TrainingEnded() | EvaluationEnded():
                self._shown.close()
                self._training = self._evaluation = None
        if event.text:
            print_line(self._console, event.text)
        runs, progress = self._info is not None, self._training or self._evaluation
        if isinstance(event, Message) and runs and progress is None:
            self._waiting.enter_context(waiting(self._console, "waiting"))

    @override
    def on_end(self, state: EndState, error: BaseException | None) -> None:
        self._waiting.close()
        self._info = None

    def _new_panel(self) -> TrainingProgress:
        info = self._info
        assert info is not None  # training is a part of a run
        return TrainingProgress(
            self._console, info.total_steps, info.start_step, info.time_left_s, self._title
        )
