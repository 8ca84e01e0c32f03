"""Looks on a run for all who are told of it: status file, Prometheus, TensorBoard, trackers.

The run itself only appends to lists; a thread of its own does the rest, a few times a minute
even while a long step computes. Whatever goes wrong there is told once, and the run goes on.
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

from metaray.platform.config import RunConfig
from metaray.platform.errors import NonFiniteError, Stopped, WorkersLostError
from metaray.platform.monitor import Monitor, TrainingWatch
from metaray.platform.monitoring.config import TrackerName
from metaray.platform.monitoring.export import RayExporter, on_ray
from metaray.platform.monitoring.identity import Identity
from metaray.platform.monitoring.status import Event, State, Status, WorkerState
from metaray.platform.monitoring.trackers import check_installed, open_tracker
from metaray.platform.transfer.config import TransferConfig

BEAT_S = 2.0
_EVENTS = 50
Row = Mapping[str, Any]
Workers = Callable[[], Sequence[WorkerState]]


class Sink(Protocol):
    """Somebody who is told of a run, from the observer's thread."""

    def publish(self, rows: Sequence[Row], status: Status, now_s: float) -> None:
        """Take the rows since the last call; called without any too."""

    def close(self) -> None:
        """The run is over."""


class Observer:
    """A ``Monitor`` that passes all on to another one. Made by ``observed``."""

    def __init__(self, folder: Path, config: RunConfig | TransferConfig, monitor: Monitor) -> None:
        self._folder = folder
        self._monitor = monitor
        self._config = config.monitoring
        self._settings = config.model_dump()
        identity = self._identity = Identity.of(folder, self._settings)
        now = time()
        self._status = Status(
            kind=identity.kind, run=identity.run, trial=identity.trial, began=now, updated=now
        )
        self._rows: deque[Row] = deque()
        self._tested = 0
        self._events: deque[Event] = deque(maxlen=_EVENTS)
        self._sinks: list[Sink] = []
        self._next_step: int | None = None
        """set once, when training begins: the sinks are to be opened"""
        self._exporter: RayExporter | None = None
        self._workers: Workers = tuple
        self._last_workers: tuple[WorkerState, ...] = ()
        self._changing = Lock()
        self._telling = RLock()
        self._over = Flag()
        self._broken: set[str] = set()
        self._thread = Thread(target=self._beat, name="observer", daemon=True)

    def message(self, text: str) -> None:
        """See Monitor."""
        self._note(text)
        self._monitor.message(text)

    @contextmanager
    def training(
        self, total_steps: int, start_step: int, at_most_s: float | None
    ) -> Iterator[TrainingWatch]:
        """See Monitor."""
        with self._monitor.training(total_steps, start_step, at_most_s) as watch:
            self._update(
                state="training",
                total_steps=total_steps,
                start_step=start_step,
                at_most_s=at_most_s,
            )
            self._next_step = start_step + 1

            def on_row(row: Row) -> None:
                self._rows.append(row)
                watch.on_row(row)

            def notify(text: str) -> None:
                self._note(text)
                watch.notify(text)

            yield TrainingWatch(on_row=on_row, notify=notify, stop_requested=watch.stop_requested)

    @contextmanager
    def testing(self, num_episodes: int) -> Iterator[Callable[[int], None]]:
        """See Monitor."""
        with self._monitor.testing(num_episodes) as advance:
            self._tested = 0
            self._update(state="testing", to_test=num_episodes)

            def advanced(episodes: int) -> None:
                self._tested += episodes
                advance(episodes)

            yield advanced

    @contextmanager
    def among(self, workers: Workers = tuple) -> Iterator[None]:
        """For as long as ``workers`` can be asked, and Ray (if it is used) is connected."""
        with self._telling:
            self._workers = workers
            if self._config.export and on_ray():
                self._attempt("Prometheus", self._open_exporter)
        try:
            yield
        except BaseException as error:
            if (exporter := self._exporter) is not None and (reason := _reason(error)):
                with self._telling:
                    self._attempt("Prometheus", partial(exporter.failed, reason))
            raise
        finally:
            self._tell()
            with self._telling:
                self._workers, self._last_workers, self._exporter = tuple, (), None

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def finish(self, state: State, text: str | None = None) -> None:
        """Tell how the run ended, and end."""
        self._over.set()
        self._thread.join()
        if text is not None:
            self._note(text)
        self._update(state=state)
        self._tell()
        for sink in self._sinks:
            self._attempt(type(sink).__name__, sink.close)

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
            self._update(
                updated=now,
                tested=self._tested,
                workers=self._last_workers,
                events=tuple(self._events),
            )
            status = self._status
            self._attempt("status.json", partial(status.write, self._folder))
            exporter = self._exporter
            if exporter is not None:
                self._attempt("Prometheus", partial(exporter.publish, rows, status, now))
            self._open_sinks()
            for sink in self._sinks:
                self._attempt(type(sink).__name__, partial(sink.publish, rows, status, now))

    def _open_exporter(self) -> None:
        self._exporter = RayExporter(self._identity.labels)

    def _ask_workers(self) -> None:
        self._last_workers = tuple(self._workers())

    def _open_sinks(self) -> None:
        """Here, since importing their libraries takes seconds."""
        if self._next_step is None:
            return
        self._attempt("TensorBoard", partial(self._open_tensorboard, self._next_step))
        self._next_step = None
        for name in self._config.trackers:
            self._attempt(name, partial(self._open_tracker, name))

    def _open_tensorboard(self, next_step: int) -> None:
        from metaray.platform.monitoring.tensorboard import TensorBoard

        self._sinks.append(TensorBoard(self._folder, next_step))

    def _open_tracker(self, name: TrackerName) -> None:
        self._sinks.append(open_tracker(name, self._folder, self._identity, self._settings))

    def _attempt(self, name: str, act: Callable[[], None]) -> None:
        """Do what must not end the run; what fails once is left alone from then on."""
        if name in self._broken:
            return
        try:
            act()
        except Exception as error:
            self._broken.add(name)
            self._note(f"monitoring goes on without {name}: {type(error).__name__}: {error}")

    def _note(self, text: str) -> None:
        self._events.append(Event(at=time(), text=text))

    def _update(self, **changes: Any) -> None:
        with self._changing:
            self._status = replace(self._status, **changes)


@contextmanager
def observed(
    folder: Path, config: RunConfig | TransferConfig, monitor: Monitor
) -> Iterator[Observer]:
    """An observer of the run with ``config`` in ``folder``, which tells ``monitor`` all.

    Raises:
        InputError: a tracker is not installed.
    """
    check_installed(config.monitoring.trackers)
    observer = Observer(folder, config, monitor)
    observer.start()
    try:
        yield observer
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, Stopped):
            observer.finish("failed", str(error))
        else:
            observer.finish("stopped")
        raise
    observer.finish("done")


def _reason(error: BaseException) -> str | None:
    """The label of ``FAILURES``, or None for a run that was asked to stop."""
    if isinstance(error, NonFiniteError):
        return "non_finite"
    if isinstance(error, WorkersLostError):
        return "workers_lost"
    return "other" if isinstance(error, Exception) and not isinstance(error, Stopped) else None
