"""A folder of files, or a zip of that folder, read in the same way."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Protocol

from metaray.algorithms.errors import InputError


class FileTree(Protocol):
    """Files below one folder. Names are relative, with forward slashes; folders end in one."""

    def names(self) -> list[str]:
        """Every file and folder below, sorted: never in the order of a file system or zip."""

    def read(self, name: str) -> bytes:
        """The content of a file; InputError when it cannot be read whole."""

    def close(self) -> None:
        """Let go of open files."""


class FolderTree:
    """A folder on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """See FileTree."""
        below = [(p.relative_to(self.path).as_posix(), p.is_dir()) for p in self.path.rglob("*")]
        return sorted(f"{name}/" if is_folder else name for name, is_folder in below)

    def read(self, name: str) -> bytes:
        """See FileTree."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {self.path / name}: {error.strerror}") from error

    def close(self) -> None:
        """Nothing is held open."""


class ZipTree:
    """The members of a zip below ``folder``, read in memory: nothing is ever extracted."""

    def __init__(self, path: Path, folder: str) -> None:
        self.path = path
        self._prefix = f"{folder}/"
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise _damaged(path, error) from error

    def names(self) -> list[str]:
        """See FileTree."""
        members = set(self._zip.namelist())
        below = {m.removeprefix(self._prefix) for m in members if m.startswith(self._prefix)}
        return sorted(below - {""})

    def read(self, name: str) -> bytes:
        """See FileTree; the checksum that the zip records is compared."""
        try:
            return self._zip.read(self._prefix + name)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise _damaged(self.path, error) from error

    def close(self) -> None:
        """Close the zip."""
        self._zip.close()


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is truncated or not a zip ({error}): fetch it again")
