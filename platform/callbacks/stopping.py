"""The one object that is asked whether a run should stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from metaray.platform.common.shutdown import GracefulShutdown


class StopToken:
    """Asked between steps whether the run should stop. Anyone may request it, from any thread.

    >>> stop = StopToken()
    >>> stop.requested()
    False
    >>> stop.request("the loss does not fall any more")
    >>> stop.requested(), stop.reason
    (True, 'the loss does not fall any more')
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        """why, in words; empty where no reason was given, None where nothing was requested"""
        self._conditions: list[Callable[[], bool]] = []

    def request(self, reason: str = "") -> None:
        """Stop the run after its current step, with a checkpoint. The first reason is kept."""
        if self.reason is None:
            self.reason = reason

    def add_condition(self, condition: Callable[[], bool]) -> None:
        """Stop too as soon as ``condition()`` is true. It is called between steps."""
        self._conditions.append(condition)

    def requested(self) -> bool:
        """Whether the run should stop now."""
        return self.reason is not None or any(ask() for ask in self._conditions)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM request a stop inside the block; a second one interrupts at once.

        Only the main thread of a process can receive signals: elsewhere the block changes nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        with GracefulShutdown() as shutdown:
            self.add_condition(lambda: shutdown.received is not None)
            yield
