"""Calls several callbacks, and keeps their failures away from the run and from each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from typing_extensions import override

from metaray.platform.callbacks.base import Callback, EndState, RunInfo
from metaray.platform.callbacks.events import (
    Attached,
    Detached,
    EvaluationAdvanced,
    EvaluationEnded,
    EvaluationStarted,
    Event,
    Message,
    TrainingEnded,
    TrainingStarted,
    Workers,
)
from metaray.platform.callbacks.members import Member, member_of
from metaray.platform.callbacks.stopping import StopToken
from metaray.platform.common.errors import Stopped
from metaray.platform.run.metrics_log import MetricsRow


class CallbackList(Callback):
    """Several callbacks as one, and the token that can stop the run which they follow.

    >>> class Broken(Callback):
    ...     def on_event(self, event):
    ...         raise ValueError("no connection")
    >>> class Printing(Callback):
    ...     def on_event(self, event):
    ...         print(event.text.partition(" (")[0])
    >>> CallbackList([Broken(), Printing()]).notify("a worker joined")
    a worker joined
    the run continues without Broken: ValueError: no connection
    """

    def __init__(self, callbacks: Iterable[Callback] = (), stop: StopToken | None = None) -> None:
        """Without ``stop``, the list makes a new token."""
        self.stop = StopToken() if stop is None else stop
        self._members = [member_of(callback) for callback in callbacks]
        self._reported: set[Member] = set()

    @classmethod
    def of(cls, callbacks: Iterable[Callback]) -> CallbackList:
        """``callbacks`` as a list, or itself if it is one already."""
        return callbacks if isinstance(callbacks, CallbackList) else cls(callbacks)

    def __iter__(self) -> Iterator[Callback]:
        return (member.callback for member in self._members)

    def around(self, before: Iterable[Callback], after: Iterable[Callback]) -> CallbackList:
        """These callbacks between others. They share token and failures with this list."""
        longer = CallbackList(before, self.stop)
        longer._members += [*self._members, *map(member_of, after)]
        longer._reported = self._reported
        return longer

    def nested(self) -> CallbackList:
        """Those that follow a run inside this run."""
        inner = CallbackList((), self.stop)
        inner._members = [one for one in self._members if one.callback.follows_nested_runs]
        inner._reported = self._reported
        return inner

    @override
    def on_start(self, info: RunInfo) -> None:
        self._call("on_start", info)

    @override
    def on_step(self, row: MetricsRow) -> None:
        """Calls ``on_validation`` too where the row has a validation."""
        for member in self._members:
            member.call("on_step", dict(row))
            if any(key.startswith("val_") for key in row):
                member.call("on_validation", dict(row))
        self._report_failures()

    @override
    def on_event(self, event: Event) -> None:
        self._call("on_event", event)

    @override
    def on_end(self, state: EndState, error: BaseException | None) -> None:
        """Wait for each in its turn, so that the last one still hears how others failed."""
        for member in self._members:
            member.call("on_end", state, error)
            member.finish()
            self._report_failures()
        for member in self._members:
            member.close()

    def notify(self, text: str) -> None:
        """Something happened that is only a sentence."""
        self.on_event(Message(text=text))

    @contextmanager
    def running(self, info: RunInfo) -> Iterator[None]:
        """From the start of the run to its end."""
        self.on_start(info)
        try:
            yield
        except BaseException as error:
            failed = isinstance(error, Exception) and not isinstance(error, Stopped)
            self.on_end("failed" if failed else "stopped", error)
            raise
        self.on_end("done", None)

    @contextmanager
    def attach(self, workers: Workers = tuple) -> Iterator[None]:
        """As long as ``workers`` can be asked, and Ray (if it is used) is connected."""
        self.on_event(Attached(workers=workers))
        try:
            yield
        except BaseException as error:
            self._detach(error)
            raise
        self._detach(None)

    @contextmanager
    def training(self) -> Iterator[None]:
        """As long as steps are computed. Ctrl-C and SIGTERM stop after the current step."""
        with self.stop.on_signals():
            self.on_event(TrainingStarted())
            try:
                yield
            finally:
                if self.stop.reason:
                    self.notify(f"a stop was requested: {self.stop.reason}")
                self.on_event(TrainingEnded())

    @contextmanager
    def evaluating(self, total: int) -> Iterator[Callable[[int], None]]:
        """As long as a test of ``total`` episodes takes; call the result with each number done.

        That call raises Stopped where a stop is requested: a test has nothing to save.
        """

        def advance(done: int) -> None:
            if self.stop.requested():
                raise Stopped("stopped in the test")
            self.on_event(EvaluationAdvanced(done=done))

        self.on_event(EvaluationStarted(total=total))
        try:
            yield advance
        finally:
            self.on_event(EvaluationEnded())

    def _detach(self, error: BaseException | None) -> None:
        """Ray may be gone soon: what the callbacks send through it is sent now."""
        self.on_event(Detached(error=error))
        for member in self._members:
            if member.uses_workers:
                member.finish()
        self._report_failures()

    def _call(self, method: str, argument: object) -> None:
        for member in self._members:
            member.call(method, argument)
        self._report_failures()

    def _report_failures(self) -> None:
        for member in self._members:
            if member.failure is not None and member not in self._reported:
                self._reported.add(member)
                name = type(member.callback).__name__
                self.notify(f"the run continues without {name}: {member.failure}")
