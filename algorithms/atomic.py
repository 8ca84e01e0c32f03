"""Files and folders that are either whole or not there.

All folders of the package write through this module: it is common ground, like ``errors``.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def temporary_path(path: Path) -> Iterator[Path]:
    """A path beside ``path`` for a file or a folder, which is removed when the block ends."""
    # Not tempfile: its files can be read by their owner only, and a cache may be shared.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_path(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Write to the path that is yielded; on success it durably takes the place of ``path``.

    On any error the temporary file is removed and ``path`` is as it was. What need not outlive a
    power cut does without ``durable``, and without waiting for the disk.
    """
    with temporary_path(path) as temporary:
        yield temporary
        if durable:
            _sync(temporary)
        os.replace(temporary, path)
        if durable:
            _sync(path.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Fill the new folder that is yielded; on success it becomes ``path``, which may be empty.

    On any error the new folder is removed and ``path`` is as it was.
    """
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_path(path) as temporary:
        temporary.mkdir()
        yield temporary
        if path.is_dir():
            path.rmdir()  # empty
        os.replace(temporary, path)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace ``path`` by ``text`` (UTF-8), atomically."""
    with atomic_path(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Replace ``path`` by ``value`` as indented JSON, atomically; NaN is not JSON and raises."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n", durable=durable)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
