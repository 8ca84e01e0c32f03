"""One Ray for the tests of a process that are not about starting or ending one.

Starting Ray costs more than what most tests do on it. A command that runs in this process uses
this Ray and start no other, as if the surrounding program had started Ray.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

COMPUTING = ("train", "evaluate", "compare", "sweep", "transfer", "choose")
"""first words of the commands that can use a Ray"""


class SharedRay:
    """Starts when it is first needed; ``wanted`` is whether the test of the moment may use it."""

    def __init__(self) -> None:
        self.wanted = False
        self.files: set[Path] = set()
        """of tests, in which some may use it"""
        self._stack = ExitStack()
        self._is_up = False

    def begin(self) -> None:
        """Connect this process to it."""
        if self._is_up:
            return
        import metaray
        from metaray.cluster.connect import connected

        self._stack.enter_context(connected("local", metaray))
        self._is_up = True

    def end(self) -> None:
        """Let this process be without a Ray, until the next ``begin``."""
        self._stack.close()
        self._is_up = False

    def words(self, words: Sequence[object]) -> list[str]:
        """The command line of a command in this process, which computes here if it can."""
        given = [str(word) for word in words]
        if not self.wanted or given[0] not in COMPUTING or "--address" in given:
            return given
        self.begin()
        return [*given, "--address", "current"]


RAY = SharedRay()
"""of this process"""
