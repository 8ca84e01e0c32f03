"""Folders, zips and CSV files of pictures, with or without labels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.file_tree import FileTree, FolderTree
from metaray.algorithms.tasks.folder_layout import (
    UNREAD,
    Layout,
    part_of,
    read_layout,
    why_left_out,
)
from metaray.algorithms.tasks.picture_list import is_list, listed, open_tree, unlabelled
from metaray.platform.inference.pictures import PictureFile

_SUPPORT = "give a folder with a folder of pictures for each class, or a CSV of path and label"


@dataclass(frozen=True, kw_only=True)
class Found:
    """Pictures that were found, which are read when they are needed."""

    pictures: list[PictureFile]
    labels: list[str]
    """the class of each; in a list of queries, empty where there is none"""
    left_out: list[str]
    """sentences about files that are not read"""


@contextmanager
def labelled_pictures(place: Path) -> Iterator[Found]:
    """Support pictures: those of class folders, of a zip of them, or of a CSV file.

    Raises:
        InputError: there are none, or a class has none that can be read.
    """
    if is_list(place):
        found = _listed(place)
        if "" in found.labels:
            raise unlabelled(place, found.pictures[found.labels.index("")].name)
        yield found
        return
    with _opened(place, _SUPPORT) as files:
        layout = read_layout(files.sizes())
        pairs = [(n, label) for label, names in sorted(layout.classes.items()) for n in names]
        if not pairs:
            raise InputError(f"{place} has no folders with pictures: {_SUPPORT}")
        yield Found(
            pictures=[_file(files, name) for name, _ in pairs],
            labels=[label for _, label in pairs],
            left_out=layout.sentences(),
        )


@contextmanager
def query_pictures(place: Path, classes: tuple[str, ...]) -> Iterator[Found]:
    """Queries: one picture, those of a folder or a zip, or of a CSV file.

    Pictures in folders have a label: the folder's path, without folders around it where only what
    remains is one of ``classes``.

    Raises:
        InputError: there are none.
    """
    if is_list(place):
        yield _listed(place)
        return
    if place.is_file() and place.suffix.lower() != ".zip":
        picture = _file(FolderTree(place.parent), place.name)
        yield Found(pictures=[picture], labels=[""], left_out=[])
        return
    remedy = "give a folder of pictures, one picture, a zip, or a CSV of paths"
    with _opened(place, remedy) as files:
        names, left_out = [], dict[str, list[str]]()
        for name in files.sizes():
            reason = why_left_out(name)
            # a format that cannot be read is listed with the queries, since it is one
            if reason in (None, UNREAD):
                names.append(name)
            else:
                left_out.setdefault(str(reason), []).append(name)
        if not names:
            raise InputError(f"{place} has no pictures: {remedy}")
        yield Found(
            pictures=[_file(files, name) for name in names],
            labels=[_label(name, classes) for name in names],
            left_out=Layout({}, left_out).sentences(),
        )


def _label(name: str, classes: tuple[str, ...]) -> str:
    folders = name.split("/")[:-1]
    for first in range(len(folders)):
        if (inner := "/".join(folders[first:])) in classes:
            return inner
    if folders and part_of(folders[0]) is not None:
        folders = folders[1:]
    return "/".join(folders)


@contextmanager
def _opened(place: Path, remedy: str) -> Iterator[FileTree]:
    place = place.expanduser()
    if not place.exists():
        raise InputError(f"there is no {place}: {remedy}")
    files = open_tree(place)
    try:
        yield files
    finally:
        files.close()


def _file(files: FileTree, name: str) -> PictureFile:
    return PictureFile(name, partial(files.read, name))


def _listed(place: Path) -> Found:
    """The pictures of a CSV file."""
    rows, files = listed(place), FolderTree(place.expanduser().parent)
    return Found(
        pictures=[_file(files, path) for path, _ in rows],
        labels=[label for _, label in rows],
        left_out=[],
    )
