"""Where metaray keeps what outlives a command: ``$METARAY_HOME``, or ``~/.metaray``."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def home() -> Path:
    """The folder, which may not be there yet."""
    named = os.environ.get("METARAY_HOME")
    return Path(named).expanduser().absolute() if named else Path.home() / ".metaray"


def cluster_folder() -> Path:
    """Where the cluster of this machine is noted: who runs, and the token to enter it."""
    return home() / "cluster"


def token_file() -> Path:
    """The token of the cluster of this machine, a private file."""
    return cluster_folder() / "token"


def ensure_token() -> Path:
    """The file with the token, made once, readable by its owner alone."""
    path = token_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        path.chmod(0o600)
        return path
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32))
    return path
