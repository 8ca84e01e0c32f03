"""A CSV file of pictures and their labels, read as if there were a folder for each label."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.algorithms.reading import decoded, refusing_damage
from metaray.algorithms.tasks.file_tree import FileTree, FolderTree, ZipTree
from metaray.algorithms.tasks.limits import ReadLimits

_HEADS = {"path", "file", "image", "filename"}


class ListTree(FileTree):
    """The files of a list, each below a folder with the name of its label.

    Raises:
        InputError: the list cannot be read, a line has no label, or a file is missing.
    """

    def __init__(self, path: Path, limits: ReadLimits | None = None) -> None:
        self.path = path
        self._limits = limits
        self._folder = FolderTree(path.expanduser().parent, limits)
        self._paths: dict[str, str] = {}
        for number, (file, label) in enumerate(listed(path), 1):
            if not label:
                raise unlabelled(path, file)
            if not (self._folder.path / file).is_file():
                raise InputError(
                    f"{path} lists {file}, and there is no such file: paths are from its folder on"
                )
            self._paths[f"{label}/{number:07d} {Path(file).name}"] = file

    def files(self) -> dict[str, Path]:
        """The file behind each name."""
        return {name: self._folder.path / file for name, file in sorted(self._paths.items())}

    @override
    def names(self) -> list[str]:
        return sorted(self._paths)

    @override
    def sizes(self) -> dict[str, int]:
        return {name: os.stat(file).st_size for name, file in self.files().items()}

    @override
    def read(self, name: str) -> bytes:
        return self._folder.read(self._paths[name])

    @override
    def close(self) -> None:
        pass

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return ListTree, (self.path, self._limits)


def is_list(place: Path) -> bool:
    """Whether a place is named as a CSV file."""
    return place.suffix.lower() == ".csv"


def open_tree(place: Path) -> FileTree:
    """The files of a folder, of a zip, or of a CSV file of pictures and labels.

    Raises:
        InputError: it cannot be read.
    """
    if place.is_dir():
        return FolderTree(place)
    return ListTree(place) if is_list(place) else ZipTree(place)


def unlabelled(place: Path, file: str) -> InputError:
    """What to say of a line without a label."""
    return InputError(f"{place} has no label for {file}: write path,label in each line")


def listed(place: Path) -> list[tuple[str, str]]:
    """The rows of a CSV file: paths, from its folder on, and labels, empty where there are none.

    Raises:
        InputError: it is no such file, or lists nothing.
    """
    remedy = "give a CSV file with the columns path and label, in UTF-8"
    place = place.expanduser()
    with refusing_damage(f"cannot read the list {place}", remedy):
        lines = decoded(place.read_bytes()).splitlines()
        rows = [row for row in csv.reader(lines, strict=True) if any(map(str.strip, row))]
    if rows and rows[0][0].strip().lower() in _HEADS:
        rows = rows[1:]
    if not rows:
        raise InputError(f"{place} lists no pictures: {remedy}")
    return [(row[0].strip(), row[1].strip() if len(row) > 1 else "") for row in rows]
