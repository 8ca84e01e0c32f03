"""What tells one copy of raw data from another: the content of its files.

Hashing all files takes as long as reading them. So what was found is noted in the cache, together
with the path, size and times of change of every file, and computed again only where one of these
differs.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from metaray.algorithms.atomic import write_json
from metaray.algorithms.errors import InputError

_CHUNK = 1 << 20
_SETTLED_NS = 2_000_000_000  # a file can change again within one tick of the file system's clock


def content_identity(files: Mapping[str, Path], notes: Path) -> str:
    """SHA-256 of the names and contents of ``files``, in hexadecimal.

    Args:
        files: the files by the names that matter; their paths do not.
        notes: a folder for the hashes that were computed; it need not exist or be writable.

    Raises:
        InputError: a file cannot be read.
    """

    def content() -> str:
        lines = (f"{name}\0{_file_sha256(files[name])}\n" for name in sorted(files))
        return _sha256("".join(lines))

    return found_once(files, notes, content)


def found_once(files: Mapping[str, Path], notes: Path, find: Callable[[], str]) -> str:
    """What ``find`` finds in ``files``: noted, and found again only where a file has changed.

    Arguments and errors as of ``content_identity``.
    """
    stamp, newest = _stamp(files)
    note = notes / f"{_sha256(repr(sorted(map(str, files.values()))))[:16]}.json"
    known = _read(note)
    if known.get("stamp") == stamp and isinstance(known.get("found"), str):
        return str(known["found"])
    began = time.time_ns()
    found = find()
    if began - newest > _SETTLED_NS:
        with suppress(OSError):
            notes.mkdir(parents=True, exist_ok=True)
            write_json(note, {"stamp": stamp, "found": found}, durable=False)
    return found


def _stamp(files: Mapping[str, Path]) -> tuple[str, int]:
    """Changes with every path, size and time of change; and the latest of these times."""
    rows, newest = [], 0
    for name in sorted(files):
        try:
            found = files[name].stat()
        except OSError as error:
            raise InputError(f"cannot read {files[name]}: {error.strerror}") from error
        rows.append((name, str(files[name]), found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        newest = max(newest, found.st_mtime_ns, found.st_ctime_ns)
    return _sha256(repr(rows)), newest


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()


def _read(note: Path) -> dict[str, object]:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
