"""Tells of a run whoever looks on: status file, Prometheus, TensorBoard, trackers.

The run itself only appends to lists; a thread of the teller's does the rest every other second,
while a long step computes too. Whatever goes wrong there is told once, and the run goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event as Flag
from threading import Lock, RLock, Thread
from time import time
from typing import Any, Protocol

from metaray.platform.callbacks.identity import Identity
from metaray.platform.callbacks.prometheus import RayExporter, on_ray
from metaray.platform.common.errors import NonFiniteError, Stopped, WorkersLostError
from metaray.platform.run.status import Event, State, Status, WorkerState

BEAT_S = 2.0
_EVENTS = 50
Row = Mapping[str, Any]
Workers = Callable[[], Sequence[WorkerState]]
OpenSink = Callable[[int], "Sink"]


class Sink(Protocol):
    """Somebody who is told of a run, from the teller's thread."""

    def publish(self, rows: Sequence[Row], status: Status, now_s: float) -> None:
        """Take the rows since the last call."""

    def close(self) -> None:
        """The run is over."""


class Publisher:
    """Of one run, or of a sweep."""

    def __init__(self, folder: Path, identity: Identity, exports: bool) -> None:
        """``exports``: whether to tell Prometheus, where there is Ray."""
        self._folder = folder
        self._identity = identity
        self._exports = exports
        now = time()
        self._status = Status(
            kind=identity.kind, run=identity.run, trial=identity.trial, began=now, updated=now
        )
        self._rows: deque[Row] = deque()
        self._events: deque[Event] = deque(maxlen=_EVENTS)
        self._to_open: dict[str, Callable[[], Sink]] = {}
        self._sinks: dict[str, Sink] = {}
        self._exporter: RayExporter | None = None
        self._workers: Workers = tuple
        self._seen_workers: tuple[WorkerState, ...] = ()
        self._changing = Lock()
        self._telling = RLock()
        self._over = Flag()
        self._broken: set[str] = set()
        self._thread = Thread(target=self._beat, name="teller", daemon=True)

    @contextmanager
    def among(self, workers: Workers = tuple) -> Iterator[None]:
        """For as long as ``workers`` can be asked, and Ray (if it is used) is connected."""
        with self._telling:
            self._workers = workers
            if self._exports and on_ray():
                self._attempt("Prometheus", self._open_exporter)
        try:
            yield
        except BaseException as error:
            if (exporter := self._exporter) is not None and (reason := _reason(error)):
                with self._telling:
                    self._attempt("Prometheus", partial(exporter.failed, reason))
            raise
        finally:
            with self._telling:
                self._tell()
                self._workers, self._seen_workers, self._exporter = tuple, (), None

    @contextmanager
    def running(self) -> Iterator[None]:
        """From the start of the run to its end."""
        self._thread.start()
        try:
            yield
        except BaseException as error:
            failed = isinstance(error, Exception) and not isinstance(error, Stopped)
            if isinstance(error, Exception):
                self.note(str(error))
            self._finish("failed" if failed else "stopped")
            raise
        self._finish("done")

    def note(self, text: str) -> None:
        """Something happened."""
        self._events.append(Event(at=time(), text=text))

    def update(self, **changes: Any) -> None:
        """Fields of the status."""
        with self._changing:
            self._status = replace(self._status, **changes)

    def _finish(self, state: State) -> None:
        self._over.set()
        self._thread.join()
        self.update(state=state)
        self._tell()
        for name, sink in self._sinks.items():
            self._attempt(name, sink.close)

    def _beat(self) -> None:
        self._tell()
        while not self._over.wait(BEAT_S):
            self._tell()

    def _tell(self) -> None:
        """Bring everyone up to date."""
        with self._telling:
            rows = [self._rows.popleft() for _ in range(len(self._rows))]
            self._attempt("workers", self._ask_workers)
            now = time()
            self._look(now)
            status = self._status
            if (exporter := self._exporter) is not None:
                self._attempt("Prometheus", partial(exporter.publish, rows, status, now))
            self._open_sinks()
            for name, sink in self._sinks.items():
                self._attempt(name, partial(sink.publish, rows, status, now))
            self.update(events=tuple(self._events))  # what went wrong just now is among them
            self._attempt("status.json", partial(self._status.write, self._folder))

    def _look(self, now_s: float) -> None:
        """Bring the status up to date."""
        self.update(updated=now_s, workers=self._seen_workers)

    def _ask_workers(self) -> None:
        self._seen_workers = tuple(self._workers())

    def _open_exporter(self) -> None:
        self._exporter = RayExporter(self._identity.labels)

    def _open_sinks(self) -> None:
        """In the thread, since importing their libraries takes seconds."""
        while self._to_open:
            name, opened = self._to_open.popitem()
            self._attempt(name, lambda: self._sinks.update({name: opened()}))  # noqa: B023

    def _attempt(self, name: str, act: Callable[[], Any]) -> None:
        """Do what must not end the run; what fails once is left alone from then on."""
        if name in self._broken:
            return
        try:
            act()
        except Exception as error:
            self._broken.add(name)
            self.note(f"monitoring goes on without {name}: {type(error).__name__}: {error}")


def _reason(error: BaseException) -> str | None:
    """The label of ``FAILURES``, or None for a run that was asked to stop."""
    if isinstance(error, NonFiniteError):
        return "non_finite"
    if isinstance(error, WorkersLostError):
        return "workers_lost"
    return "other" if isinstance(error, Exception) and not isinstance(error, Stopped) else None
