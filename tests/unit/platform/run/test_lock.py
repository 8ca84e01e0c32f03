"""One process at a time writes to a folder; a lock is never left behind."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from metaray.platform.run import lock
from metaray.platform.run.lock import FolderInUseError, Holder, locked

HOLD = """
import sys, time
from pathlib import Path
from metaray.platform.run.lock import locked
with locked(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".lock"


@contextmanager
def another(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_process_is_told_which_one_holds_it(path: Path) -> None:
    with (
        another(path) as process,
        pytest.raises(FolderInUseError, match=rf"it is in use by process {process.pid} on \S+, wh"),
        locked(path, "it"),
    ):
        pass


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_leaves_no_lock(path: Path, number: signal.Signals) -> None:
    with another(path) as process:
        process.send_signal(number)
        process.wait()
        with locked(path, "it"):
            assert json.loads(path.read_text())["pid"] == os.getpid()
    assert not path.exists()


def test_one_that_is_about_to_end_is_waited_for(path: Path) -> None:
    with another(path) as process:
        process.terminate()
        with locked(path, "it", patience_s=20):
            pass


def test_this_process_holds_it_once(path: Path) -> None:
    with locked(path, "it"):
        with pytest.raises(FolderInUseError), locked(path, "it"):
            pass
        assert path.exists()
    with locked(path, "it"):
        pass


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without such locks, as some network file systems are."""

    def refuse(*_: object) -> None:
        raise OSError(lock.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("no_flock")
def test_without_locks_of_the_kernel_the_process_counts(path: Path) -> None:
    with another(path) as process:
        with pytest.raises(FolderInUseError, match=f"process {process.pid}"), locked(path, "it"):
            pass
        process.kill()
        process.wait()
        with locked(path, "it"):
            pass


def test_a_lock_of_another_machine_is_taken_over_when_it_is_old(path: Path) -> None:
    there = replace(Holder.here(), host="node7", host_id="node7 boot 1")
    path.write_text(json.dumps(asdict(there)))
    with pytest.raises(FolderInUseError, match=r"node7.*can be taken over in 1\d\d s"):  # noqa: SIM117
        with locked(path, "it"):
            pass
    old = time.time() - lock.STALE_S - 1
    os.utime(path, (old, old))
    with locked(path, "it"):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_lock_is_renewed_and_its_loss_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.05)
    told: list[str] = []
    with locked(path, "it", lost=told.append):
        os.utime(path, (0, 0))
        while path.stat().st_mtime == 0:
            time.sleep(0.01)
        assert told == []
        there = replace(Holder.here(), host="node7", host_id="node7 boot 1")
        path.write_text(json.dumps(asdict(there)))
        while not told:
            time.sleep(0.01)
    assert told == ["another process has taken over it"]
    path.write_text("{}")  # a process that was killed while it wrote
    with locked(path, "it"):
        pass
