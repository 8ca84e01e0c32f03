"""``python -m metaray.platform.jobs.send``: prints a run directory, packed, for ``fetch``.

Each line carries a piece in base64; the last one, the SHA-256 of the whole archive.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from metaray.algorithms.paths import user_path
from metaray.platform.jobs.job_spec import JobSpec

DATA, SUM, ERROR = "metaray-data:", "metaray-sha256:", "metaray-error:"
_PIECE_BYTES = 12_000


def plain_files(folder: Path) -> Iterator[Path]:
    """All files below ``folder`` but links, in order, without those that are being written."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not path.name.endswith(".tmp"):
            yield path


class _Printer:
    """A file for tarfile that prints what is written to it."""

    def __init__(self) -> None:
        self._waiting = b""
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Print as many whole pieces as there are."""
        self._waiting += data
        while len(self._waiting) >= _PIECE_BYTES:
            self._print(_PIECE_BYTES)
        return len(data)

    def close(self) -> None:
        """Print the rest and the checksum."""
        self._print(len(self._waiting))
        sys.stdout.write(f"{SUM}{self._hash.hexdigest()}\n")
        sys.stdout.flush()

    def _print(self, size: int) -> None:
        piece, self._waiting = self._waiting[:size], self._waiting[size:]
        self._hash.update(piece)
        sys.stdout.write(f"{DATA}{base64.b64encode(piece).decode('ascii')}\n")


def send(folder: Path) -> None:
    """Print the plain files of ``folder``."""
    if not folder.is_dir():
        sys.stdout.write(f"{ERROR}the job has no run directory {folder} yet: see its logs\n")
        return
    printer = _Printer()
    with tarfile.open(fileobj=cast(Any, printer), mode="w|gz") as archive:
        for path in plain_files(folder):
            try:
                with path.open("rb") as file:
                    member = archive.gettarinfo(arcname=str(path.relative_to(folder)), fileobj=file)
                    archive.addfile(member, file)
            except FileNotFoundError:
                continue  # a checkpoint that a running job replaced
    printer.close()


if __name__ == "__main__":
    send(user_path(JobSpec.read(Path.cwd()).folder))
