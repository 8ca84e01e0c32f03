"""Where a run stands, kept up to date in memory, and written to ``status.json`` by a thread."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path
from threading import Lock
from time import time
from typing import Any

from typing_extensions import override

from metaray.algorithms.errors import is_of_disk
from metaray.platform.callbacks.base import BackgroundCallback, Callback, EndState, RunInfo
from metaray.platform.callbacks.events import (
    Attached,
    Detached,
    EvaluationAdvanced,
    EvaluationStarted,
    Event,
    TrainingStarted,
    Workers,
)
from metaray.platform.run.status import Event as NotedEvent
from metaray.platform.run.status import Status

_EVENTS = 50


class LiveStatus(Callback):
    """Keeps the status of a run, for the callbacks that publish it from their threads."""

    in_training_thread = True

    def __init__(self, info: RunInfo) -> None:
        now, identity = time(), info.identity
        self.status = Status(
            kind=identity.kind,
            run=identity.run,
            trial=identity.trial,
            began=now,
            updated=now,
            total_steps=info.total_steps,
            start_step=info.start_step,
            at_most_s=info.time_left_s,
        )
        self._events: deque[NotedEvent] = deque(maxlen=_EVENTS)
        self._workers: Workers = tuple
        self._changing = Lock()

    @override
    def on_event(self, event: Event) -> None:
        match event:
            case Attached():
                self._workers = event.workers
            case Detached():
                self._workers = tuple
            case TrainingStarted():
                self.update(state="training")
            case EvaluationStarted():
                self.update(state="testing", tested=0, to_test=event.total)
            case EvaluationAdvanced():
                self.update(tested=self.status.tested + event.done)
        if event.text:
            self._note(event.text)

    @override
    def on_end(self, state: EndState, error: BaseException | None) -> None:
        if isinstance(error, Exception):
            self._note(str(error))
        self.update(state=state)

    def update(self, **changes: Any) -> None:
        """Change fields of the status. Any thread may do so."""
        with self._changing:
            self.status = replace(self.status, **changes)

    def refresh(self) -> Status:
        """The status as of now, with the workers as they are."""
        try:
            workers = tuple(self._workers())
        except Exception as error:  # what the file says of workers is not worth a run
            self._workers, workers = tuple, ()
            self._note(f"the status continues without workers: {type(error).__name__}: {error}")
        self.update(updated=time(), workers=workers, events=tuple(self._events))
        return self.status

    def _note(self, text: str) -> None:
        self._events.append(NotedEvent(at=time(), text=text))


class StatusFile(BackgroundCallback):
    """Replaces ``status.json`` in the folder of a run, for ``metaray watch``.

    A full disk may have room again, so a round that could not write is not the last.
    """

    uses_workers = True

    def __init__(self, folder: Path, status: LiveStatus) -> None:
        self._folder = folder
        self._status = status
        self._ended = False

    @override
    def flush(self) -> None:
        try:
            self._status.refresh().write(self._folder)
        except OSError as error:
            if self._ended or not is_of_disk(error):
                raise

    @override
    def on_end(self, state: EndState, error: BaseException | None) -> None:
        self._ended = True  # the next flush is the last
