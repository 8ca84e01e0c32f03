"""Any folder of class folders, a zip of one, or a CSV file of pictures and their labels.

In ``<class>/<image>`` classes may lie in groups: ``Greek/alpha`` and ``Latin/alpha`` are two
classes. The images of ``train/cat`` and ``test/cat`` are those of one class, as few-shot learning
splits classes and not images. ``folder_layout`` says what else is a class and what is left out.
Classes and images come sorted by name; links are followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import ClassVar, get_args

from typing_extensions import override

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.episode_shape import Split
from metaray.algorithms.tasks.dataset import (
    ClassLists,
    ImageDataset,
    LazyClass,
    missing,
)
from metaray.algorithms.tasks.file_tree import files_below
from metaray.algorithms.tasks.folder_layout import read_layout
from metaray.algorithms.tasks.image_files import RESIZING, ImageFileClass
from metaray.algorithms.tasks.picture_list import ListTree, is_list, open_tree
from metaray.algorithms.tasks.split_lists import split_by_lists
from metaray.algorithms.tasks.splits import Splits, random_split

VERSION = 3  # 2: upright, 16 bits; 3: a ground for transparent images, 16 bits of 0 to 255
"""changes whenever the pixels do, so that a cached set is never taken for a newer one"""

_NEEDS = (
    "point data.root at a folder, or a zip, with one folder of images per class, or at a CSV file "
    "of path and label"
)


class Folder(ImageDataset):
    """See the module."""

    name = "folder"
    description = (
        "your own images: a folder or zip with a folder per class, or a CSV of path, label"
    )
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
            return {"": root, **(ListTree(root).files() if is_list(root) else {})}
        found = files_below(root)
        classes = read_layout(found, self.by_part).classes
        return {name: found[name] for names in classes.values() for name in names}

    @override
    def left_out(self, root: Path, data: DataConfig) -> list[str]:
        if not root.exists():
            return []
        files = open_tree(root)
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
        files = open_tree(root)
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
        return split_by_lists(classes.names, data.split_lists)


class FolderByPart(Folder):
    """Images of different parts stay apart, in classes named ``train/cat`` and ``test/cat``."""

    prepared_as = "folder-parts"
    by_part = True

    def parts(self, root: Path) -> set[str]:
        """The parts that there are at ``root``: of train, val and test."""
        if not root.exists():
            return set()
        files = open_tree(root)
        try:
            classes = read_layout(files.sizes(), self.by_part).classes
        finally:
            files.close()
        return {name.partition("/")[0] for name in classes} & set(get_args(Split))
