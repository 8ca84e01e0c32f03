"""CUB-200-2011 (Wah et al. 2011): 11,788 photographs of 200 kinds of birds.

Reads the published layout, ``CUB_200_2011/`` with ``images.txt``, ``image_class_labels.txt``,
``classes.txt``, ``bounding_boxes.txt`` and ``images/``, or the archive ``CUB_200_2011.tgz``. The
archive is unzipped (not unpacked) into one file beside the cache, as its images cannot be reached
otherwise.

The split is that of Chen et al. 2019 ("A closer look at few-shot classification"), 100 / 50 / 50
classes: in the order of class ids, counted from 0, the even ones are for training, those that leave
1 when divided by 4 for validation, and those that leave 3 for test.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import IO

from typing_extensions import override

from metaray.algorithms.atomic import atomic_path
from metaray.algorithms.configs import DataConfig
from metaray.algorithms.episode_shape import Split
from metaray.algorithms.errors import DiskError, InputError, write_error
from metaray.algorithms.reading import reason
from metaray.algorithms.tasks.dataset import (
    ClassLists,
    ImageDataset,
    LazyClass,
    find_published,
    missing,
    published_files,
)
from metaray.algorithms.tasks.file_tree import FileTree, FolderTree, TarTree, files_below
from metaray.algorithms.tasks.image_files import RESIZING, Box, ImageFileClass
from metaray.algorithms.tasks.limits import ReadLimits
from metaray.algorithms.tasks.splits import Splits, by_label

VERSION = 1
"""changes whenever the pixels do, so that a cached set is never taken for a newer one"""

_FOLDER = "CUB_200_2011"
_ARCHIVE = f"{_FOLDER}.tgz"
_TABLES = ("images.txt", "image_class_labels.txt", "classes.txt", "bounding_boxes.txt")
_NEEDS = (
    f"get {_ARCHIVE} (1.1 GB) from https://www.vision.caltech.edu/datasets/cub_200_2011/ and point "
    f"data.root at it, at the folder that it is in, or at the folder {_FOLDER} unpacked from it"
)
_BLOCK = 1 << 20  # bytes
_MOST_DIGITS = 10
_CHEN: tuple[Split, ...] = ("train", "val", "train", "test")


class Cub(ImageDataset):
    """See the module."""

    name = "cub"
    description = "200 kinds of birds, about 60 images each (Wah et al. 2011)"
    splits = ("published",)
    settings = ("root", "rotations", "augment", "channels", "bbox_crop")
    needs = _NEEDS
    prepared_as = "cub"
    published_images = True

    @override
    def parameters(self, data: DataConfig) -> dict[str, str | int]:
        return {
            "version": VERSION,
            "image_size": data.image_size,
            "filter": RESIZING,
            "bbox_crop": int(data.bbox_crop),
        }

    @override
    def raw_files(self, root: Path, data: DataConfig) -> Mapping[str, Path] | None:
        place = find_published(root, _FOLDER, _ARCHIVE, _TABLES)
        if place is None or place.is_file():
            return published_files(place, _TABLES)
        images = {f"images/{name}": path for name, path in files_below(place / "images").items()}
        return {name: place / name for name in _TABLES} | images

    @contextmanager
    @override
    def open_classes(
        self, root: Path, data: DataConfig, scratch: Path
    ) -> Iterator[Sequence[LazyClass]]:
        """The classes in the order of their ids, as are the images of each."""
        place = find_published(root, _FOLDER, _ARCHIVE, _TABLES)
        if place is None:
            raise missing("CUB-200-2011", root, _NEEDS)
        files: FileTree = FolderTree(place)
        if place.is_file():
            files = TarTree(_unzipped(place, scratch), _FOLDER)
        yield _classes(files, place, data)

    @override
    def split(self, classes: ClassLists, data: DataConfig) -> Splits:
        return by_label(_CHEN[i % 4] for i in range(len(classes.names)))


def _unzipped(archive: Path, scratch: Path) -> Path:
    """``archive`` without its compression, as one file in ``scratch``; once made, it is kept."""
    tar = scratch / f"{_FOLDER}.tar"
    if tar.exists():
        return tar
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with (
            atomic_path(tar) as temporary,
            gzip.open(archive) as source,
            temporary.open("wb") as target,
        ):
            _copy(source, target, archive)
    except (InputError, DiskError):
        raise
    except OSError as error:
        if isinstance(error, gzip.BadGzipFile):
            raise _damaged(archive, error) from error
        remedy = "free some space or choose another folder with data.cache"
        raise write_error(f"{tar}, which is in {archive}", error, remedy) from error
    except Exception as error:  # zlib raises several kinds
        raise _damaged(archive, error) from error
    return tar


def _copy(source: gzip.GzipFile, target: IO[bytes], archive: Path) -> None:
    limits, done = ReadLimits.from_environment(), 0
    while data := source.read(_BLOCK):
        done += len(data)
        limits.check_unpacked(done, f"the content of {archive}")
        target.write(data)


def _damaged(archive: Path, error: Exception) -> InputError:
    return InputError(f"{archive} is truncated or not a tgz ({reason(error)}): {_NEEDS}")


def _classes(files: FileTree, place: Path, data: DataConfig) -> list[LazyClass]:
    names, labels, paths, boxes = (
        _table(files, place, name)
        for name in ("classes.txt", "image_class_labels.txt", "images.txt", "bounding_boxes.txt")
    )
    members: dict[int, list[int]] = {class_id: [] for class_id in names}
    for image in sorted(paths):
        label = labels.get(image, "")
        if not _is_id(label) or int(label) not in names or image not in boxes:
            raise InputError(
                f"{place}: image {image} of images.txt has no class or no bounding box in the "
                f"other tables: {_NEEDS}"
            )
        members[int(label)].append(image)
    return [
        ImageFileClass(
            name=names[class_id],
            group="",
            files=files,
            paths=[f"images/{paths[image]}" for image in members[class_id]],
            image_size=data.image_size,
            boxes=[_box(place, boxes[image]) for image in members[class_id]]
            if data.bbox_crop
            else None,
        )
        for class_id in sorted(names)
    ]


def _table(files: FileTree, place: Path, name: str) -> dict[int, str]:
    """Lines ``<id> <text>``."""
    rows: dict[int, str] = {}
    text = files.read(name).decode("utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        key, _, value = line.strip().partition(" ")
        if not _is_id(key) or not value:
            raise InputError(f"line {number} of {name} in {place} is incomplete: {_NEEDS}")
        rows[int(key)] = value
    if not rows:
        raise InputError(f"{name} in {place} is empty: {_NEEDS}")
    return rows


def _is_id(text: str) -> bool:
    return text.isdecimal() and len(text) < _MOST_DIGITS


def _box(place: Path, text: str) -> Box:
    try:
        left, top, width, height = map(float, text.split())
        if not isfinite(left + top + width + height):
            raise ValueError
    except ValueError:
        raise InputError(
            f"bounding_boxes.txt in {place} holds {text!r}, not four numbers: {_NEEDS}"
        ) from None
    return left, top, width, height
