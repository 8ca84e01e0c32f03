"""A folder of files, or a zip or tar of that folder, read in the same way.

Each can be pickled: what arrives is opened anew, where the path is the same file.
"""

from __future__ import annotations

import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from typing_extensions import override

from metaray.algorithms.errors import InputError


def walk(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every file and folder below ``folder`` with its path in it, through links.

    A link to a folder around it is passed over, which would never end.

    Raises:
        InputError: a folder cannot be read.
    """
    yield from _walk(folder, "", (os.path.realpath(folder),))


def files_below(folder: Path) -> dict[str, Path]:
    """All files below ``folder`` by their path in it; InputError as of ``walk``."""
    return {name: Path(entry.path) for name, entry in walk(folder) if entry.is_file()}


def _walk(folder: Path, prefix: str, around: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(
            f"cannot read the folder {folder} ({error.strerror}): change its permissions or move it"
        ) from error
    for entry in entries:
        name = f"{prefix}{entry.name}"
        if not entry.is_dir():
            yield name, entry
        elif (real := os.path.realpath(entry.path) if entry.is_symlink() else "") not in around:
            yield name, entry
            inner = real or os.path.join(around[-1], entry.name)
            yield from _walk(Path(entry.path), f"{name}/", (*around, inner))


class FileTree(Protocol):
    """Files below one folder. Names are relative, with forward slashes; folders end in one."""

    def names(self) -> list[str]:
        """Every file and folder below, sorted: never in the order of a file system or zip."""

    def sizes(self) -> dict[str, int]:
        """Every file below with its size in bytes, sorted by name."""

    def read(self, name: str) -> bytes:
        """The content of a file; InputError when it cannot be read whole."""

    def close(self) -> None:
        """Let go of open files."""


class FolderTree(FileTree):
    """A folder on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @override
    def names(self) -> list[str]:
        return sorted(f"{name}/" if entry.is_dir() else name for name, entry in walk(self.path))

    @override
    def sizes(self) -> dict[str, int]:
        files = ((name, entry) for name, entry in walk(self.path) if entry.is_file())
        return dict(sorted((name, entry.stat().st_size) for name, entry in files))

    @override
    def read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {self.path / name}: {error.strerror}") from error

    @override
    def close(self) -> None:
        pass


class ZipTree(FileTree):
    """The members of a zip below ``folder``, read in memory: nothing is ever extracted.

    Without ``folder`` they are all of its members.
    """

    def __init__(self, path: Path, folder: str = "") -> None:
        self.path = path
        self._folder = folder
        self._prefix = f"{folder}/" if folder else ""
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise _damaged(path, error) from error

    @override
    def names(self) -> list[str]:
        members = set(self._zip.namelist())
        below = {m.removeprefix(self._prefix) for m in members if m.startswith(self._prefix)}
        return sorted(below - {""})

    @override
    def sizes(self) -> dict[str, int]:
        members = (i for i in self._zip.infolist() if not i.is_dir())
        below = ((i.filename, i.file_size) for i in members if i.filename.startswith(self._prefix))
        return {name.removeprefix(self._prefix): size for name, size in sorted(below)}

    @override
    def read(self, name: str) -> bytes:
        """The checksum that the zip records is compared."""
        try:
            return self._zip.read(self._prefix + name)
        except KeyError:
            missing = f"{self.path} has no file {self._prefix}{name}: fetch it again"
            raise InputError(missing) from None
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
            # RuntimeError: a password, or a compression that Python does not know
            raise _damaged(self.path, error) from error

    @override
    def close(self) -> None:
        self._zip.close()

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return ZipTree, (self.path, self._folder)


class TarTree(FileTree):
    """The files of an uncompressed tar below ``folder``, read in memory where they lie.

    Only plain files count: links and devices are passed over, and nothing is ever extracted.
    """

    def __init__(self, path: Path, folder: str) -> None:
        self.path = path
        self._folder = folder
        prefix = f"{folder}/"
        try:
            with tarfile.open(path, "r:") as tar:
                members = [m for m in tar if m.isreg() and m.name.startswith(prefix)]
        except (tarfile.TarError, OSError) as error:
            raise _damaged(path, error, "tar") from error
        self._places = {m.name.removeprefix(prefix): (m.offset_data, m.size) for m in members}

    @override
    def names(self) -> list[str]:
        """A tar needs no entries for folders, so there may be none."""
        return sorted(self._places)

    @override
    def sizes(self) -> dict[str, int]:
        return {name: self._places[name][1] for name in self.names()}

    @override
    def read(self, name: str) -> bytes:
        if name not in self._places:
            raise InputError(f"{self.path} has no file {self._folder}/{name}: fetch it again")
        offset, size = self._places[name]
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise InputError(f"cannot read {name} in {self.path}: {error.strerror}") from error
        if len(data) != size:
            raise _damaged(self.path, EOFError(f"{name} ends early"), "tar")
        return data

    @override
    def close(self) -> None:
        pass

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return TarTree, (self.path, self._folder)


def _damaged(path: Path, error: Exception, kind: str = "zip") -> InputError:
    return InputError(f"{path} is truncated or not a {kind} ({error}): fetch it again")
