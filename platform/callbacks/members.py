"""How one callback of a list is called: at once, with a limit, or from a separate thread."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Event as Flag
from threading import Thread, current_thread
from time import monotonic
from typing import Any

from typing_extensions import override

from metaray.platform.callbacks.base import BackgroundCallback, Callback

HEARTBEAT_S = 2.0
"""time between two rounds of a background callback"""
FINISH_S = 30.0
"""how long a run waits for a background callback, which may still import its library"""
CALL_S = 300.0
"""how long a run waits for one call of a callback that has no thread"""
_POLL_S = 0.1
_MOST_WAITING = 100_000  # calls; a callback that is so late never comes back

_Calls = SimpleQueue["tuple[Callable[[], None], Flag] | None"]


class Member:
    """Calls a callback at once. After its first exception it is not called again."""

    uses_workers = False

    def __init__(self, callback: Callback) -> None:
        self.callback = callback
        self.failure: str | None = None
        """why it is not called any more"""

    def call(self, method: str, *arguments: Any) -> None:
        """``callback.method(*arguments)``."""
        self._attempt(partial(getattr(self.callback, method), *arguments))

    def finish(self) -> None:
        """Wait until all calls have been made, but not for ever."""

    def close(self) -> None:
        """No call will follow."""

    def _attempt(self, call: Callable[[], None]) -> None:
        if self.failure is not None:
            return
        try:
            call()
        except Exception as error:
            self.failure = _described(error)


class LimitedMember(Member):
    """Waits for each call of a callback, but not for ever: a thread makes the call."""

    def __init__(self, callback: Callback) -> None:
        super().__init__(callback)
        self._calls: _Calls | None = None
        self._thread: Thread | None = None

    @override
    def call(self, method: str, *arguments: Any) -> None:
        if self.failure is not None:
            return
        call = partial(getattr(self.callback, method), *arguments)
        if current_thread() is self._thread:  # a call made by the callback itself
            self._attempt(call)
            return
        if self._calls is None:
            self._calls = SimpleQueue()
            name = type(self.callback).__name__
            self._thread = Thread(target=self._run, args=[self._calls], name=name, daemon=True)
            self._thread.start()
        done, deadline = Flag(), monotonic() + CALL_S
        self._calls.put((call, done))
        try:
            while not done.wait(_POLL_S):
                if monotonic() > deadline:
                    self.failure = (
                        f"{method} did not return within {CALL_S:g} s (derive a slow callback "
                        "from BackgroundCallback)"
                    )
                    return
        except BaseException:  # Ctrl-C: the run must not wait for it again
            self.failure = f"{method} was interrupted"
            raise

    @override
    def close(self) -> None:
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None

    def _run(self, calls: _Calls) -> None:
        while (waiting := calls.get()) is not None:
            call, done = waiting
            try:
                self._attempt(call)
            except BaseException as error:  # sys.exit() ends this thread, not the run
                self.failure = _described(error)
            done.set()


class BackgroundMember(Member):
    """Calls a callback from a daemon thread, in rounds."""

    def __init__(self, callback: BackgroundCallback) -> None:
        super().__init__(callback)
        self.uses_workers = callback.uses_workers
        self._flush = callback.flush
        self._waiting: deque[Callable[[], None] | Flag] = deque()
        self._wake = Flag()
        self._closed = False
        self._thread = Thread(target=self._run, name=type(callback).__name__, daemon=True)

    @override
    def call(self, method: str, *arguments: Any) -> None:
        if self.failure is not None:
            return
        if len(self._waiting) >= _MOST_WAITING:
            self.failure = f"it is stuck, {_MOST_WAITING:,} calls wait for it"
            return
        self._waiting.append(partial(getattr(self.callback, method), *arguments))
        if self._thread.ident is None:
            self._thread.start()

    @override
    def finish(self) -> None:
        if self._thread.ident is None:
            return
        done, deadline = Flag(), monotonic() + FINISH_S
        self._waiting.append(done)
        self._wake.set()
        while self.failure is None and not done.wait(_POLL_S):
            if monotonic() > deadline:
                self.failure = f"it did not return within {FINISH_S:g} s"

    @override
    def close(self) -> None:
        self._closed = True
        self._wake.set()

    def _run(self) -> None:
        try:
            while not self._closed and self.failure is None:
                self._round()
                self._wake.wait(HEARTBEAT_S)
                self._wake.clear()
        except BaseException as error:  # sys.exit(): nothing would say that the thread is gone
            self.failure = _described(error)

    def _round(self) -> None:
        """Make the calls that wait, flush, and only then set the flags among them."""
        flags = []
        for _ in range(len(self._waiting)):
            waiting = self._waiting.popleft()
            if isinstance(waiting, Flag):
                flags.append(waiting)
            else:
                self._attempt(waiting)
        self._attempt(self._flush)
        for flag in flags:
            flag.set()


def member_of(callback: Callback) -> Member:
    """The way to call ``callback``."""
    if isinstance(callback, BackgroundCallback):
        return BackgroundMember(callback)
    return Member(callback) if callback.in_training_thread else LimitedMember(callback)


def _described(error: BaseException) -> str:
    """Error and place: ``ValueError: too small (my_callbacks.py, line 12)``."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
