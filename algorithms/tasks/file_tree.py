"""A folder of files, or a zip or tar of that folder, read in the same way.

Each can be pickled: what arrives is opened again, where the path is the same file.
"""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.algorithms.reading import refusing_damage
from metaray.algorithms.tasks.limits import ReadLimits

_FETCH = "fetch it again"


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
        """The content of a file; InputError when it cannot be read whole or is too large."""

    def close(self) -> None:
        """Let go of open files."""


class FolderTree(FileTree):
    """A folder on disk."""

    def __init__(self, path: Path, limits: ReadLimits | None = None) -> None:
        self.path = path
        self._limits = limits or ReadLimits.from_environment()

    @override
    def names(self) -> list[str]:
        return sorted(f"{name}/" if entry.is_dir() else name for name, entry in walk(self.path))

    @override
    def sizes(self) -> dict[str, int]:
        files = ((name, entry) for name, entry in walk(self.path) if entry.is_file())
        return dict(sorted((name, entry.stat().st_size) for name, entry in files))

    @override
    def read(self, name: str) -> bytes:
        path = self.path / name
        with refusing_damage(f"cannot read {path}", _FETCH), path.open("rb") as file:
            self._limits.check_file(os.fstat(file.fileno()).st_size, str(path))
            return file.read()

    @override
    def close(self) -> None:
        pass


class ZipTree(FileTree):
    """The members of a zip below ``folder``, read in memory: nothing is ever extracted.

    Without ``folder`` they are all of its members. Backslashes in their names, as old tools of
    Windows write them, separate folders.
    """

    def __init__(self, path: Path, folder: str = "", limits: ReadLimits | None = None) -> None:
        self.path = path
        self._folder = folder
        self._limits = limits or ReadLimits.from_environment()
        with _refusing_damage(path):
            self._zip = zipfile.ZipFile(path)
        self._members = _members(self._zip, path, f"{folder}/" if folder else "")

    @override
    def names(self) -> list[str]:
        return sorted(self._members)

    @override
    def sizes(self) -> dict[str, int]:
        files = ((name, m.file_size) for name, m in self._members.items() if name[-1] != "/")
        return dict(sorted(files))

    @override
    def read(self, name: str) -> bytes:
        """The checksum that the zip records is compared."""
        if name not in self._members:
            raise _not_there(self.path, self._folder, name)
        member = self._members[name]
        self._limits.check_file(member.file_size, f"{name} in {self.path}")
        with _refusing_damage(self.path):
            return self._zip.read(member)

    @override
    def close(self) -> None:
        self._zip.close()

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return ZipTree, (self.path, self._folder, self._limits)


def _members(archive: zipfile.ZipFile, path: Path, prefix: str) -> dict[str, zipfile.ZipInfo]:
    """The members below ``prefix`` by their name there; of two of the same name, the last."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        whole = _name(member).replace("\\", "/")
        name = whole.removeprefix(prefix)
        if not name or not whole.startswith(prefix):
            continue
        if name in found and found[name].filename != member.filename:
            raise InputError(
                f"{path} holds {found[name].filename} and {member.filename}, which are one file "
                "where backslashes separate folders: rename one of them"
            )
        found[name] = member
    return found


def _name(member: zipfile.ZipInfo) -> str:
    """The name as it was written: many tools write UTF-8 and do not set the flag that says so.

    ``zipfile`` then reads code page 437, in which every sequence of bytes is a name.
    """
    if member.flag_bits & 0x800 or member.filename.isascii():
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename


class TarTree(FileTree):
    """The files of an uncompressed tar below ``folder``, read in memory where they lie.

    Only plain files count: links and devices are passed over, and nothing is ever extracted.
    """

    def __init__(self, path: Path, folder: str, limits: ReadLimits | None = None) -> None:
        self.path = path
        self._folder = folder
        self._limits = limits or ReadLimits.from_environment()
        prefix = f"{folder}/"
        with _refusing_damage(path, "tar"), tarfile.open(path, "r:") as tar:
            members = [m for m in tar if m.isreg() and m.name.startswith(prefix)]
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
            raise _not_there(self.path, self._folder, name)
        offset, size = self._places[name]
        self._limits.check_file(size, f"{name} in {self.path}")
        with _refusing_damage(self.path, "tar"), self.path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
            if len(data) != size:
                raise EOFError(f"{name} ends early")
        return data

    @override
    def close(self) -> None:
        pass

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return TarTree, (self.path, self._folder, self._limits)


def _refusing_damage(path: Path, kind: str = "zip") -> AbstractContextManager[None]:
    return refusing_damage(f"{path} is truncated or not a {kind} that can be read", _FETCH)


def _not_there(path: Path, folder: str, name: str) -> InputError:
    place = f"{folder}/{name}" if folder else name
    return InputError(f"{path} has no file {place}: {_FETCH}")
