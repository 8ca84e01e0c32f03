"""What the folders of runs, sweeps and comparisons have in common."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from typing_extensions import Self

from metaray.algorithms.errors import DiskError, InputError, is_of_disk


@dataclass(frozen=True)
class BaseDirectory:
    """Paths in a folder. ``create`` and ``open`` check; the class itself only names."""

    path: Path

    NOUN: ClassVar[str]
    """what it holds"""
    MARKER: ClassVar[str]
    """the file that says so"""
    FOLDERS: ClassVar[tuple[str, ...]]
    """made with it"""

    @property
    def summary(self) -> Path:
        """The result."""
        return self.path / "summary.json"

    @property
    def lock(self) -> Path:
        """Says which process writes here (``run/lock.py``)."""
        return self.path / ".lock"

    @property
    def plots(self) -> Path:
        """Folder of PNG plots."""
        return self.path / "plots"

    @classmethod
    def check_free(cls, path: Path) -> None:
        """Raise InputError where ``create`` would: there is one, or other files."""
        if (path / cls.MARKER).exists():
            raise InputError(
                f"{path} already holds a {cls.NOUN}: continue it with --resume {path}, "
                "or choose another folder with --out"
            )
        if path.exists() and (not path.is_dir() or cls._is_used(path)):
            raise InputError(
                f"{path} is not empty and holds no {cls.NOUN}: choose another folder with --out"
            )

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new folder.

        Raises:
            InputError: there is something in ``path`` already, or it cannot be written.
        """
        cls.check_free(path)
        try:
            for folder in cls.FOLDERS:
                (path / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if is_of_disk(error):
                raise DiskError(
                    f"cannot create a {cls.NOUN} in {path}: {error.strerror}; make room, or choose "
                    "another folder with --out"
                ) from error
            raise InputError(f"cannot create a {cls.NOUN} in {path}: {error.strerror}") from error
        return cls(path)

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """The block writes all that makes the folder what it is, and its marker last.

        Where it fails, on a full disk for one, the folder is removed, so that the start can be
        repeated. This process must hold the lock.
        """
        try:
            yield
        except BaseException:
            if not (self.path / self.MARKER).exists():
                shutil.rmtree(self.path, ignore_errors=True)
            raise

    @classmethod
    def _is_used(cls, path: Path) -> bool:
        """Whether there is more than what a start leaves that could not even write its lock."""
        return any(
            any(found.iterdir())
            if found.is_dir() and found.name in cls.FOLDERS
            else found != cls(path).lock
            for found in path.iterdir()
        )

    @classmethod
    def open(cls, path: Path) -> Self:
        """An existing folder.

        Raises:
            InputError: there is none.
        """
        if not (path / cls.MARKER).is_file():
            found = f"it has no {cls.MARKER}" if path.exists() else "there is no such folder"
            raise InputError(
                f"{path} is not a {cls.NOUN} directory ({found}): give the --out folder of a "
                f"{cls.NOUN}"
            )
        return cls(path)
