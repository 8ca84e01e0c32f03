"""The number of workers of a running job, as a file in its run directory that it watches."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from metaray.algorithms.atomic import write_json
from metaray.algorithms.errors import InputError
from metaray.platform.run.directory import RunDirectory

_MAX_WORKERS = 10_000


def request_workers(run: RunDirectory, count: int) -> None:
    """Ask the job that trains in ``run`` for ``count`` workers; it reacts at its next step."""
    if not 1 <= count <= _MAX_WORKERS:
        raise InputError(f"a job runs on 1 to {_MAX_WORKERS} workers, got {count}")
    write_json(_file(run), {"count": count})


class WorkerRequests:
    """The job's side: tells each new request once. What was asked of an earlier start is past."""

    def __init__(self, run: RunDirectory, notify: Callable[[str], None] = lambda _: None) -> None:
        """``notify`` takes a sentence about a file that holds no request."""
        self._file = _file(run)
        self._notify = notify
        self._seen = self._stamp()

    def poll(self) -> int | None:
        """The number that was asked for since the last poll, or None."""
        stamp = self._stamp()
        if stamp == self._seen:
            return None
        self._seen = stamp
        try:
            count = json.loads(self._file.read_text(encoding="utf-8"))["count"]
        except (OSError, ValueError, TypeError, KeyError):
            count = None
        if type(count) is int and 1 <= count <= _MAX_WORKERS:
            return count
        self._notify(
            f"{self._file} is ignored, since it holds no number of workers: use metaray scale"
        )
        return None

    def _stamp(self) -> int | None:
        try:
            return self._file.stat().st_mtime_ns
        except FileNotFoundError:
            return None


def _file(run: RunDirectory) -> Path:
    return run.path / "workers.json"
