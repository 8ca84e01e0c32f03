"""Images and labels as numpy arrays: one ``.npz``, or several that are parts of a set.

Each holds ``images``, uint8 ``[n, H, W]`` or ``[n, H, W, 3]``, and ``labels``, integers ``[n]``.
``data.root`` is a file, a folder of them, or a pattern such as ``digits/usps_*.npz``. With
several files each is a part, and its name says which: it holds ``train``, ``val`` or ``test``.

Files are read without executing what a pickle in them might say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.arrays import ArrayClass
from metaray.algorithms.tasks.content import Images
from metaray.algorithms.tasks.dataset import (
    ClassLists,
    ImageDataset,
    LazyClass,
    missing,
)
from metaray.algorithms.tasks.image_files import RESIZING
from metaray.algorithms.tasks.limits import ReadLimits
from metaray.algorithms.tasks.npz_file import read_arrays
from metaray.algorithms.tasks.splits import Splits, random_split

VERSION = 1
"""changes whenever the pixels do, so that a cached set is never taken for a newer one"""

_NEEDS = (
    "point data.root at an .npz with images (uint8 [n, H, W] or [n, H, W, 3]) and labels "
    "(integers [n]), at a folder of them, or at a pattern such as digits/usps_*.npz"
)
_PART = re.compile("train|val|test")  # in the name of a file


class _Part(NamedTuple):
    name: str | None
    images: Images
    labels: NDArray[np.int64]


class Arrays(ImageDataset):
    """See the module."""

    name = "arrays"
    description = "your own images and labels as numpy arrays in .npz files"
    splits = ("random",)
    settings = (
        "root",
        "rotations",
        "augment",
        "channels",
        "split_seed",
        "split_ratio",
        "drop_duplicates",
    )
    needs = _NEEDS
    prepared_as = "arrays"
    is_users_own = True

    @override
    def parameters(self, data: DataConfig) -> dict[str, str | int]:
        own: dict[str, str | int] = {"drop_duplicates": 1} if data.drop_duplicates else {}
        return {**own, "version": VERSION, "image_size": data.image_size, "filter": RESIZING}

    @override
    def raw_files(self, root: Path, data: DataConfig) -> Mapping[str, Path] | None:
        return {file.name: file for file in _files(root)} or None

    @contextmanager
    @override
    def open_classes(
        self, root: Path, data: DataConfig, scratch: Path
    ) -> Iterator[Sequence[LazyClass]]:
        """A class for each label, in the order of labels; part after part."""
        files = _files(root)
        if not files:
            raise missing("images in arrays", root, _NEEDS)
        limits = ReadLimits.from_environment()
        yield self._classes([_read(path, limits) for path in files], root, data.image_size)

    def _classes(self, parts: list[_Part], root: Path, size: int) -> list[LazyClass]:
        shapes = {part.images.shape[1:] for part in parts}
        if len(shapes) > 1:
            raise InputError(
                f"the files of {root} have images of {' and '.join(map(_shape, sorted(shapes)))}:"
                " give them one shape"
            )
        images = np.concatenate([part.images for part in parts])
        labels = np.concatenate([part.labels for part in parts])
        return _by_label(_Part(None, images, labels), size)

    @override
    def split(self, classes: ClassLists, data: DataConfig) -> Splits:
        return random_split(classes.names, data.split_seed, data.split_ratio)


class ArraysByPart(Arrays):
    """Images of different files stay apart, in classes named ``train/3`` and ``test/3``."""

    prepared_as = "arrays-parts"

    def parts(self, root: Path) -> set[str]:
        """The parts that the names of the files at ``root`` say: of train, val and test."""
        found = [_PART.search(path.stem) for path in _files(root)]
        return {part.group() for part in found if part}

    @override
    def _classes(self, parts: list[_Part], root: Path, size: int) -> list[LazyClass]:
        names = [part.name for part in parts]
        if len(parts) > 1 and (None in names or len(set(names)) < len(names)):
            raise InputError(
                f"the names of the files of {root} do not say which is train, val or test: rename "
                "them, or set division = random"
            )
        return [item for part in parts for item in _by_label(part, size)]


def _by_label(part: _Part, size: int) -> list[LazyClass]:
    prefix = f"{part.name}/" if part.name else ""
    return [
        ArrayClass(
            name=f"{prefix}{label}",
            group=part.name or "",
            pixels=part.images[part.labels == label],
            image_size=size,
        )
        for label in np.unique(part.labels)
    ]


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root] if root.suffix == ".npz" else []
    found = root.glob("*.npz") if root.is_dir() else root.parent.glob(root.name)
    return sorted(path for path in found if path.suffix == ".npz")


def _read(path: Path, limits: ReadLimits) -> _Part:
    problem = f"cannot read images and labels in {path}"
    images, labels = read_arrays(path, ("images", "labels"), limits, problem, _NEEDS)
    grey_or_colour = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3)
    if images.dtype != np.uint8 or not grey_or_colour or 0 in images.shape[1:]:
        raise InputError(f"{path} has images of {images.dtype} {_shape(images.shape)}: {_NEEDS}")
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1] or not len(labels):
        raise InputError(
            f"{path} has labels of {labels.dtype} {_shape(labels.shape)} for {len(images)} images: "
            f"{_NEEDS}"
        )
    if labels.max() > np.iinfo(np.int64).max:
        raise InputError(f"{path} has the label {labels.max()}, which has over 63 bits: {_NEEDS}")
    part = _PART.search(path.stem)
    return _Part(part.group() if part else None, images, labels.astype(np.int64))


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
