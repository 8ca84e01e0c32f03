"""Database servers of a test's own, on loopback and in a folder that goes with them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ports import free_port, wait_for_port

SECRET = "s3cr3t-word"
_QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class Database(NamedTuple):
    url: str
    """with ``SECRET`` as its password"""
    stop: Callable[[], None]
    """as if its machine were lost"""


@contextmanager
def postgresql() -> Iterator[Database]:
    pytest.importorskip("psycopg")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = _program("initdb", *programs[-1:])
    with _folder("postgres") as (folder, user):
        password = folder / "password"
        password.write_text(SECRET)
        password.chmod(0o644)
        data, port = folder / "data", free_port()
        making = [initdb, "-D", data, "-U", "me", f"--pwfile={password}", "-A", "scram-sha-256"]
        subprocess.run(making, check=True, **_QUIET, **user)
        serving = [initdb.with_name("postgres"), "-D", data, "-p", str(port), "-k", folder,
                   "-c", "listen_addresses=127.0.0.1"]  # fmt: skip
        with _serving(serving, port, signal.SIGQUIT, user) as stop:
            yield Database(f"postgresql://me:{SECRET}@127.0.0.1:{port}/postgres", stop)


@contextmanager
def mariadb() -> Iterator[Database]:
    """What Debian has of MySQL."""
    pytest.importorskip("pymysql")
    daemon = _program("mariadbd", Path("/usr/sbin/mariadbd"))
    with _folder("mysql") as (folder, user):
        begin = folder / "begin.sql"
        begin.write_text(
            "CREATE DATABASE sweeps;\n"
            f"CREATE USER me@'127.0.0.1' IDENTIFIED BY '{SECRET}';\n"
            "GRANT ALL ON sweeps.* TO me@'127.0.0.1';\n"
        )
        begin.chmod(0o644)
        data, port = f"--datadir={folder / 'data'}", free_port()
        making = ["mariadb-install-db", "--no-defaults", data, "--skip-test-db"]
        subprocess.run(making, check=True, **_QUIET, **user)
        serving = [daemon, "--no-defaults", data, f"--socket={folder / 'socket'}",
                   f"--port={port}", "--bind-address=127.0.0.1", f"--init-file={begin}",
                   f"--pid-file={folder / 'pid'}", "--skip-name-resolve"]  # fmt: skip
        with _serving(serving, port, signal.SIGKILL, user) as stop:
            yield Database(f"mysql://me:{SECRET}@127.0.0.1:{port}/sweeps", stop)


def _program(name: str, *elsewhere: Path) -> Path:
    found = shutil.which(name) or next((path for path in elsewhere if path.exists()), None)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return Path(found)


@contextmanager
def _folder(user: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder with a short name, and as whom to run: databases refuse to run as root."""
    with tempfile.TemporaryDirectory(prefix="mr-", dir="/tmp") as folder:
        if os.geteuid() != 0:
            yield Path(folder), {}
        else:
            shutil.chown(folder, user)
            yield Path(folder), {"user": user}


@contextmanager
def _serving(
    command: list[Any], port: int, end: signal.Signals, user: dict[str, Any]
) -> Iterator[Callable[[], None]]:
    with ExitStack() as stack:
        server = stack.enter_context(subprocess.Popen(command, **_QUIET, **user))

        def stop() -> None:
            server.send_signal(end)
            server.wait()

        stack.callback(stop)
        wait_for_port(port)
        yield stop
