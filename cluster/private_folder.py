"""A private folder for the files of a Ray: its sockets, its logs, what does not fit into memory.

Ray leaves its own folders writable for all users of the machine, who could then exchange the
sockets. So it gets a fresh folder that only this user can enter.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import sleep

from metaray.algorithms.paths import has_home
from metaray.cluster.errors import ClusterError

_LONGEST_SOCKET = 107  # bytes that the system allows
_BELOW = "/mr-12345678/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.99"
_LONGEST = _LONGEST_SOCKET - len(_BELOW)
_NOBODY = 65534  # to whom a container without privileges sees /tmp belong
_REMOVE_TRIES = 30
_REMOVE_POLL_S = 0.1


def private_folder() -> Path:
    """A new folder of mode 700 with a short path, for ``remove_folder`` to remove.

    Raises:
        ClusterError: no place on this machine can be used.
    """
    reasons = {}
    for place in dict.fromkeys(_places()):
        if (reason := _why_not(place)) is None:
            try:
                return Path(tempfile.mkdtemp(prefix="mr-", dir=place))
            except OSError as error:
                reason = error.strerror
        reasons[place] = reason
    tried = "; ".join(f"{place}: {reason}" for place, reason in reasons.items())
    raise ClusterError(
        f"there is no place for the sockets of Ray ({tried}): set RAY_TMPDIR to a folder that only "
        f"you can write to, with a path of at most {_LONGEST} bytes"
    )


def remove_folder(folder: Path) -> None:
    """Remove it with all that is in it; processes that are ending may still write there."""
    for _ in range(_REMOVE_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        sleep(_REMOVE_POLL_S)


def _places() -> Iterator[str]:
    for name in ("RAY_TMPDIR", "TMPDIR"):
        if place := os.environ.get(name):
            yield os.path.abspath(place)
    yield "/tmp"
    if place := os.environ.get("XDG_RUNTIME_DIR"):
        yield os.path.abspath(place)
    if has_home():
        yield str(Path.home())


def _why_not(place: str) -> str | None:
    """Why ``place`` is too long, or others could exchange what is in it; None if it is good."""
    if len(os.fsencode(place)) > _LONGEST:
        return f"its path has over {_LONGEST} bytes"
    try:
        found = os.stat(place)
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    if found.st_uid not in (0, os.getuid(), _NOBODY):
        return "it belongs to another user"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX:
        return "others can write to it, and it lacks the sticky bit"
    return None
