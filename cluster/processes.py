"""Processes that outlive the command that started them, and how they are known again."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import psutil

_CLOCK_S = 1.0  # creation times of one process differ by rounding, those of two by far more


@dataclass(frozen=True)
class ProcessMark:
    """A process id and when that process was made, since ids are given again after a while."""

    pid: int
    created: float
    """seconds since the epoch"""

    @classmethod
    def of(cls, pid: int) -> ProcessMark:
        """The mark of a process that runs."""
        return cls(pid=pid, created=psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """The process; None if it has ended, even if another process has its id now."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < _CLOCK_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def with_children(marks: Iterable[ProcessMark]) -> list[psutil.Process]:
    """The marked processes that still run, and all below them."""
    found = []
    for mark in marks:
        with suppress(psutil.NoSuchProcess):
            if (process := mark.find()) is not None:
                found += [process, *process.children(recursive=True)]
    return found


def end(marks: Iterable[ProcessMark], patience_s: float) -> None:
    """End the marked processes and all below them: asked to at first, then by force."""
    marks = list(marks)
    everyone = with_children(marks)
    for mark in marks:
        if (process := mark.find()) is not None:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
    _, left = psutil.wait_procs(everyone, timeout=patience_s)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=patience_s)
