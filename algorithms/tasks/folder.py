"""Any folder of class folders, or a zip of one: ``<class>/<image>``, groups of classes allowed.

``Greek/alpha`` and ``Latin/alpha`` are two classes. The images of ``train/cat`` and ``test/cat``
are those of one class, as few-shot learning splits classes and not images. ``folder_layout`` says
what else is a class and what is left out. Classes and images come sorted by name; links are
followed.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import ClassVar, get_args

from typing_extensions import override

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.episode_shape import Split
from metaray.algorithms.errors import InputError
from metaray.algorithms.reading import decoded, refusing_damage
from metaray.algorithms.tasks.dataset import (
    ClassLists,
    ImageDataset,
    LazyClass,
    missing,
)
from metaray.algorithms.tasks.file_tree import FileTree, FolderTree, ZipTree, files_below
from metaray.algorithms.tasks.folder_layout import read_layout
from metaray.algorithms.tasks.image_files import RESIZING, ImageFileClass
from metaray.algorithms.tasks.splits import Splits, by_label, random_split

VERSION = 3  # 2: upright, 16 bits; 3: a ground for transparent images, 16 bits of 0 to 255
"""changes whenever the pixels do, so that a cached set is never taken for a newer one"""

_NEEDS = "point data.root at a folder, or a zip, with one folder of images per class"


class Folder(ImageDataset):
    """See the module."""

    name = "folder"
    description = "your own images: a folder, or a zip, with one folder per class"
    splits = ("random", "lists")
    settings = (
        "root", "rotations", "augment", "channels", "split_seed", "split_ratio", "split_lists",
        "drop_duplicates",
    )  # fmt: skip
    needs = _NEEDS
    prepared_as = "folder"
    is_users_own = True
    by_part: ClassVar[bool] = False
    """whether ``train/cat`` and ``test/cat`` are classes of these names"""

    @override
    def parameters(self, data: DataConfig) -> dict[str, str | int]:
        own: dict[str, str | int] = {"drop_duplicates": 1} if data.drop_duplicates else {}
        return {**own, "version": VERSION, "image_size": data.image_size, "filter": RESIZING}

    @override
    def raw_files(self, root: Path, data: DataConfig) -> Mapping[str, Path] | None:
        if not root.exists():
            return None
        if root.is_file():
            return {"": root}
        found = files_below(root)
        classes = read_layout(found, self.by_part).classes
        return {name: found[name] for names in classes.values() for name in names}

    @override
    def left_out(self, root: Path, data: DataConfig) -> list[str]:
        if not root.exists():
            return []
        files = _open_tree(root)
        try:
            return read_layout(files.sizes(), self.by_part).sentences()
        finally:
            files.close()

    @contextmanager
    @override
    def open_classes(
        self, root: Path, data: DataConfig, scratch: Path
    ) -> Iterator[Sequence[LazyClass]]:
        """The classes sorted by name; a class's group is the folder around it."""
        if not root.exists():
            raise missing("images", root, _NEEDS)
        files = _open_tree(root)
        try:
            paths = read_layout(files.sizes(), self.by_part).classes
            if not paths:
                raise missing("images in folders", root, _NEEDS)
            yield [
                ImageFileClass(
                    name=name,
                    group=str(PurePosixPath(name).parent),
                    files=files,
                    paths=paths[name],
                    image_size=data.image_size,
                )
                for name in sorted(paths)
            ]
        finally:
            files.close()

    @override
    def split(self, classes: ClassLists, data: DataConfig) -> Splits:
        if data.split == "random":
            return random_split(classes.names, data.split_seed, data.split_ratio)
        if data.split_lists is None:
            raise InputError(
                "data.split = lists needs data.split_lists: a folder with train.txt, val.txt and "
                "test.txt, a class name a line"
            )
        return _split_by_lists(classes.names, Path(data.split_lists))


class FolderByPart(Folder):
    """Images of different parts stay apart, in classes named ``train/cat`` and ``test/cat``."""

    prepared_as = "folder-parts"
    by_part = True

    def parts(self, root: Path) -> set[str]:
        """The parts that there are at ``root``: of train, val and test."""
        if not root.exists():
            return set()
        files = _open_tree(root)
        try:
            classes = read_layout(files.sizes(), self.by_part).classes
        finally:
            files.close()
        return {name.partition("/")[0] for name in classes} & set(get_args(Split))


def _open_tree(root: Path) -> FileTree:
    return FolderTree(root) if root.is_dir() else ZipTree(root)


def _split_by_lists(names: Sequence[str], folder: Path) -> Splits:
    """Classes of ``names`` that are in no list are in no split."""
    split_of: dict[str, Split] = {}
    known = _by_any_form(names)
    for split in get_args(Split):
        path = folder / f"{split}.txt"
        for listed in _read_list(path):
            name = known.get(listed) or known.get(_composed(listed), listed)
            if name not in names:
                near = get_close_matches(name, names, n=1)
                hint = f", did you mean {near[0]}?" if near else f"; classes are {_some(names)}"
                raise InputError(f"{path} names the class {name}, which is not there{hint}")
            if name in split_of:
                raise InputError(
                    f"class {name} is listed twice, for {split_of[name]} and {split}: leave it out "
                    "of one of the lists"
                )
            split_of[name] = split
    return by_label(split_of.get(name) for name in names)


def _by_any_form(names: Sequence[str]) -> dict[str, str]:
    """Classes by their names, and by these with composed letters where that says which is meant.

    A Mac writes ``é`` into names of files as two characters, most editors as one.
    """
    composed = Counter(map(_composed, names))
    unique = {_composed(name): name for name in names if composed[_composed(name)] == 1}
    return unique | {name: name for name in names}


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _read_list(path: Path) -> list[str]:
    with refusing_damage(
        f"cannot read the list of classes {path}",
        "data.split_lists is a folder with train.txt, val.txt and test.txt, in UTF-8",
    ):
        lines = decoded(path.read_bytes()).splitlines()
    return [line.strip() for line in lines if line.strip()]


def _some(names: Sequence[str]) -> str:
    return ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
