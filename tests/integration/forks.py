"""The fork server of ``tests/children``, and the processes that it forks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import psutil
from children.fork_client import COMMANDS, SOCKET  # type: ignore[import-not-found]
from typing_extensions import override

Done: TypeAlias = "subprocess.CompletedProcess[str]"
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


class Program(subprocess.Popen[Any]):
    """A command or page that a fork runs."""

    def __init__(self, words: Sequence[object], env: dict[str, str], **options: Any) -> None:
        super().__init__([*map(str, words)], env=env | {COMMANDS: "1"}, **options)

    @property
    def runs_in(self) -> int:
        """The id of the process that runs it."""
        return _fork_of(self.pid) or self.pid

    @override
    def send_signal(self, sig: int) -> None:
        """SIGKILL goes to the fork: it has ended when this process ends."""
        if self.poll() is None:
            os.kill(self.runs_in if sig == signal.SIGKILL else self.pid, sig)


def run_program(words: Sequence[object], env: dict[str, str], **options: Any) -> Done:
    """``subprocess.run`` of a ``Program``, with its output as text."""
    env = env | {COMMANDS: "1"}
    return subprocess.run(
        [*map(str, words)], env=env, capture_output=True, text=True, check=False, **options
    )


def _fork_of(pid: int) -> int | None:
    with suppress(FileNotFoundError, ValueError):  # none, or it has ended
        return int(Path(os.environ[SOCKET]).with_name(str(pid)).read_text())
    return None


def processes_below(pid: int) -> list[psutil.Process]:
    """All that the process ``pid`` has started, and the forks that run programs in their place."""
    try:
        top = psutil.Process(pid)
        found = top.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    for process in chain([top], found):  # also those that the loop adds: forks may have forks
        if number := _fork_of(process.pid):
            with suppress(psutil.NoSuchProcess):
                fork = psutil.Process(number)
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
