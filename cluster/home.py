"""Where metaray keeps what outlives a command: ``$METARAY_HOME``, or ``~/.metaray``."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metaray.algorithms.atomic import temporary_path
from metaray.algorithms.paths import has_home, user_path
from metaray.cluster.errors import ClusterError


def home() -> Path:
    """The folder, which may not be there yet.

    Raises:
        ClusterError: the user has no home directory, and the variable is not set.
    """
    if not is_known():
        raise ClusterError(
            "there is no place to note clusters and tokens, since this user has no home directory: "
            "set METARAY_HOME to a folder that you can write to"
        )
    return user_path(os.environ.get("METARAY_HOME") or "~/.metaray").absolute()


def is_known() -> bool:
    """Whether there is such a folder: some users have no home directory."""
    return bool(os.environ.get("METARAY_HOME")) or has_home()


def cluster_folder() -> Path:
    """Where the cluster of this machine is noted: who runs, and the token to enter it."""
    return home() / "cluster"


def token_file() -> Path:
    """The token of the cluster of this machine, a private file."""
    return cluster_folder() / "token"


def ensure_token() -> Path:
    """The file with the token, made once, readable by its owner alone.

    Only the command that starts the cluster calls this, which one at a time does (``changing``).
    """
    path = token_file()
    with writing():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.is_file() and path.read_bytes().strip():
            path.chmod(0o600)
            return path
        # missing, or empty: a full disk or a crash can leave that, and no Ray takes it
        with temporary_path(path) as temporary:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(32))
            os.replace(temporary, path)
    return path


@contextmanager
def writing() -> Iterator[None]:
    """One sentence where the folder cannot be written to."""
    try:
        yield
    except OSError as error:
        raise ClusterError(
            f"cannot write to {home()} ({error.strerror}): set METARAY_HOME to a folder that you "
            "can write to"
        ) from None
