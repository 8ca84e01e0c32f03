"""The fork server of ``tests/children``, and the processes that it forks."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from children.fork_client import SOCKET  # type: ignore[import-not-found]

CHILDREN = Path(__file__).parents[1] / "children"


@contextmanager
def fork_server() -> Iterator[tuple[str, str]]:
    """Start the server. Yields the environment variable by which processes find it, and its value.

    It runs on Linux alone. Elsewhere, as without it, each worker is a new process.
    """
    if sys.platform != "linux":
        yield SOCKET, ""
        return
    with tempfile.TemporaryDirectory(prefix="mr-", dir="/tmp") as folder:
        path = os.path.join(folder, "forks")
        command = [sys.executable, CHILDREN / "fork_server.py", path]
        one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # as Ray asks of a worker with one CPU
        with subprocess.Popen(command, stdin=subprocess.PIPE, env=one_thread) as server:
            yield SOCKET, path
            server.communicate(timeout=30)


def processes_below(pid: int) -> list[psutil.Process]:
    """All that the process ``pid`` has started, and the forks that run programs in their place."""
    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    for process in found:  # also those that the loop adds: a fork may stand for the next one
        with suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):  # none, or it has ended
            file = Path(os.environ[SOCKET]).with_name(str(process.pid))
            fork = psutil.Process(int(file.read_text()))
            found += [fork, *fork.children(recursive=True)]
    return list(dict.fromkeys(found))


def parts_of(process: subprocess.Popen[Any] | psutil.Process) -> list[psutil.Process]:
    """A process and all that it has started."""
    return [psutil.Process(process.pid), *processes_below(process.pid)]


def titled(pid: int, word: str) -> list[psutil.Process]:
    """The processes below ``pid`` with ``word`` in their title, as Ray names its workers."""
    found = []
    for process in processes_below(pid):
        with suppress(psutil.NoSuchProcess):
            found += [process] if word in " ".join(process.cmdline()) else []
    return found


def kill(processes: Iterable[psutil.Process]) -> None:
    """Send SIGKILL. A fork ends by itself when the process that asked for it is killed."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
