"""miniImageNet (Vinyals et al. 2016) in the 64 / 16 / 20 classes of Ravi & Larochelle 2017.

Two forms of it are in use, and both are read:

* a folder with ``train.csv``, ``val.csv`` and ``test.csv`` (columns ``filename,label``), the
  images being in ``images/``;
* ``mini-imagenet-cache-{train,val,test}.pkl``: each a dict of ``image_data``, uint8
  ``[n, 84, 84, 3]``, and ``class_dict``, from a class to the indices of its images. They are
  read as data only, one at a time.

Images are resized with Pillow's Lanczos filter, as MAML's authors did. The group of a class is
its split.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from typing_extensions import override

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.episode_shape import Split
from metaray.algorithms.errors import InputError
from metaray.algorithms.reading import decoded, refusing_damage
from metaray.algorithms.tasks.arrays import ArrayClass
from metaray.algorithms.tasks.content import ImageClass, Images
from metaray.algorithms.tasks.dataset import ClassLists, ImageDataset, LazyClass, missing
from metaray.algorithms.tasks.file_tree import FolderTree
from metaray.algorithms.tasks.image_files import RESIZING, ImageFileClass
from metaray.algorithms.tasks.safe_pickle import array_of, load_data
from metaray.algorithms.tasks.splits import Splits, by_group

VERSION = 1
"""changes whenever the pixels do, so that a cached set is never taken for a newer one"""

_SPLITS: tuple[Split, ...] = get_args(Split)
_NEEDS = (
    "point data.root at a folder with train.csv, val.csv and test.csv from "
    "https://github.com/twitter-research/meta-learning-lstm (data/miniImagenet) and the images, "
    "taken from https://image-net.org (ILSVRC 2012), in its folder images; or at one with "
    "mini-imagenet-cache-train.pkl, -val.pkl and -test.pkl"
)


class MiniImageNet(ImageDataset):
    """See the module."""

    name = "miniimagenet"
    description = "100 classes of ImageNet, 600 images each (Ravi & Larochelle 2017)"
    splits = ("published",)
    settings = ("root", "rotations", "augment", "channels")
    needs = _NEEDS
    prepared_as = "miniimagenet"
    published_images = True

    @override
    def parameters(self, data: DataConfig) -> dict[str, str | int]:
        return {"version": VERSION, "image_size": data.image_size, "filter": RESIZING}

    @override
    def raw_files(self, root: Path, data: DataConfig) -> Mapping[str, Path] | None:
        if _has(root, _list_file):
            lists = {_list_file(split): root / _list_file(split) for split in _SPLITS}
            listed = (_read_list(root, split).values() for split in _SPLITS)
            names = [name for classes in listed for paths in classes for name in paths]
            return lists | {name: root / name for name in names if (root / name).is_file()}
        if _has(root, _pickle_file):
            return {_pickle_file(split): root / _pickle_file(split) for split in _SPLITS}
        return None

    @contextmanager
    @override
    def open_classes(
        self, root: Path, data: DataConfig, scratch: Path
    ) -> Iterator[Sequence[LazyClass]]:
        """The classes of train, then val, then test, each sorted by name."""
        if _has(root, _list_file):
            yield _checked(root, _listed(root, data.image_size))
        elif _has(root, _pickle_file):
            yield _checked(root, _pickled(root, data.image_size))
        else:
            raise missing("miniImageNet", root, _NEEDS)

    @override
    def split(self, classes: ClassLists, data: DataConfig) -> Splits:
        """The group of a class is its split."""
        of: dict[str, Split] = {split: split for split in _SPLITS}
        return by_group(of, classes.groups)


def _list_file(split: Split) -> str:
    return f"{split}.csv"


def _pickle_file(split: Split) -> str:
    return f"mini-imagenet-cache-{split}.pkl"


def _has(root: Path, name_of: Callable[[Split], str]) -> bool:
    return all((root / name_of(split)).is_file() for split in _SPLITS)


def _checked(root: Path, classes: list[LazyClass]) -> list[LazyClass]:
    """``classes``, none of which may be in two splits."""
    split_of: dict[str, str] = {}
    for item in classes:
        assert isinstance(item, ImageFileClass | _PickledClass)  # what the two forms give
        if item.name in split_of:
            raise InputError(
                f"{root}: class {item.name} is both in {split_of[item.name]} and in {item.group}: "
                f"{_NEEDS}"
            )
        split_of[item.name] = item.group
    return classes


def _listed(root: Path, image_size: int) -> list[LazyClass]:
    files = FolderTree(root)
    return [
        ImageFileClass(name=label, group=split, files=files, paths=paths, image_size=image_size)
        for split in _SPLITS
        for label, paths in sorted(_read_list(root, split).items())
    ]


def _read_list(root: Path, split: Split) -> dict[str, list[str]]:
    """The images of every class of a split, in the order of the list."""
    path = root / _list_file(split)
    paths: dict[str, list[str]] = {}
    with refusing_damage(f"cannot read {path}", _NEEDS):
        rows = csv.DictReader(io.StringIO(decoded(path.read_bytes())))
        if not {"filename", "label"} <= set(rows.fieldnames or ()):
            raise InputError(f"{path} has no columns filename and label: {_NEEDS}")
        for row in rows:
            if not row["filename"] or not row["label"]:
                raise InputError(f"line {rows.line_num} of {path} is incomplete: fetch it again")
            paths.setdefault(row["label"], []).append(f"images/{row['filename']}")
    if not paths:
        raise InputError(f"{path} lists no images: {_NEEDS}")
    return paths


class _PickledFiles:
    """The three files, of which the last one read is kept; it is not pickled along."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._last: tuple[Split, Images, dict[str, Any]] | None = None

    def read(self, split: Split) -> tuple[Images, dict[str, Any]]:
        """Images ``[n, H, W, 3]``, and the indices of each class."""
        if self._last is None or self._last[0] != split:
            self._last = None  # before the next is read: each is as large as memory may be
            self._last = (split, *_load(self.root / _pickle_file(split)))
        return self._last[1:]

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return _PickledFiles, (self.root,)


@dataclass(frozen=True, kw_only=True)
class _PickledClass:
    name: str
    group: Split
    files: _PickledFiles
    image_size: int

    @property
    def num_images(self) -> int:
        """None needs decoding."""
        return 0

    def load(self) -> ImageClass:
        """The images of the class."""
        pixels, classes = self.files.read(self.group)
        path = self.files.root / _pickle_file(self.group)
        indices = array_of(classes[self.name], f"the list of images of class {self.name} in {path}")
        if indices.size == 0:
            raise InputError(f"{path}: class {self.name} has no images: fetch it again")
        sound = indices.ndim == 1 and indices.dtype.kind in "iu"
        if not sound or indices.min() < 0 or indices.max() >= len(pixels):
            raise InputError(
                f"{path}: class {self.name} has indices that are not of its {len(pixels):,} "
                "images: fetch it again"
            )
        own = pixels[indices.astype(np.int64)]
        return ArrayClass(
            name=self.name, group=self.group, pixels=own, image_size=self.image_size
        ).load()


def _pickled(root: Path, image_size: int) -> list[LazyClass]:
    files = _PickledFiles(root)
    return [
        _PickledClass(name=name, group=split, files=files, image_size=image_size)
        for split in _SPLITS
        for name in sorted(files.read(split)[1])
    ]


def _load(path: Path) -> tuple[Images, dict[str, Any]]:
    with refusing_damage(f"cannot read {path}", _NEEDS), path.open("rb") as file:
        content = load_data(file, path)
    if not isinstance(content, dict) or not {"image_data", "class_dict"} <= content.keys():
        raise InputError(f"{path} has no image_data and class_dict: {_NEEDS}")
    images = array_of(content["image_data"], f"image_data of {path}")
    classes = content["class_dict"]
    sound = images.dtype == np.uint8 and images.ndim == 4 and images.shape[-1] == 3
    if not sound or not isinstance(classes, dict) or not classes:
        found = f"{len(classes)} classes" if isinstance(classes, dict) else "no dict of classes"
        raise InputError(
            f"{path}: expected image_data of uint8 [n, 84, 84, 3] and its classes, found "
            f"{images.dtype} {list(images.shape)} and {found}: {_NEEDS}"
        )
    return images, {str(name): indices for name, indices in classes.items()}
