"""Fashion-MNIST (Xiao et al. 2017): 70,000 grey pictures of clothes, 28 x 28, in ten classes.

Reads the four published files, ``train-images-idx3-ubyte.gz`` and so on, as Debian's package
``dataset-fashion-mnist`` installs them, or unpacked. Transfer jobs keep the published parts of
60,000 and 10,000 pictures. Few-shot learning divides the ten classes at random.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from typing_extensions import override

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.arrays import ArrayClass
from metaray.algorithms.tasks.content import Images
from metaray.algorithms.tasks.data_sources import Source, SourcesRecord
from metaray.algorithms.tasks.dataset import (
    ClassLists,
    ImageDataset,
    LazyClass,
    RecordedClasses,
    missing,
)
from metaray.algorithms.tasks.idx import read_idx
from metaray.algorithms.tasks.image_files import RESIZING
from metaray.algorithms.tasks.splits import Splits, random_split

VERSION = 1
"""changes whenever the pixels do, so that a cached set is never taken for a newer one"""

_CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
    "ankle-boot",
)  # fmt: skip
_PARTS = {"train": "train", "test": "t10k"}
_NEEDS = (
    "install it with apt-get install dataset-fashion-mnist, or point data.root at a folder with "
    "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and "
    "t10k-labels-idx1-ubyte.gz from https://github.com/zalandoresearch/fashion-mnist"
)


class FashionMnist(ImageDataset):
    """See the module."""

    name = "fashion_mnist"
    description = "70,000 pictures of clothes in ten classes (Xiao et al. 2017)"
    splits = ("random",)
    settings = ("root", "augment", "channels", "split_seed", "split_ratio")
    needs = _NEEDS
    prepared_as = "fashion_mnist"
    installed_at = ("/usr/share/datasets/fashion-mnist",)

    @override
    def parameters(self, data: DataConfig) -> dict[str, str | int]:
        return {"version": VERSION, "image_size": data.image_size, "filter": RESIZING}

    @override
    def raw_files(self, root: Path, data: DataConfig) -> Mapping[str, Path] | None:
        found = _files(root)
        return {path.name: path for pair in found.values() for path in pair} or None

    @contextmanager
    @override
    def open_classes(
        self, root: Path, data: DataConfig, scratch: Path
    ) -> Iterator[Sequence[LazyClass]]:
        """The classes in the order of their labels."""
        found = _files(root)
        if not found:
            raise missing("Fashion-MNIST", root, _NEEDS)
        parts = {name: _read(*pair) for name, pair in found.items()}
        yield RecordedClasses(self._classes(parts, data.image_size), _record(parts))

    def _classes(self, parts: Mapping[str, _Part], size: int) -> list[LazyClass]:
        pixels, labels = (np.concatenate(both) for both in zip(*parts.values(), strict=True))
        return _by_label("", pixels, labels, size)

    @override
    def split(self, classes: ClassLists, data: DataConfig) -> Splits:
        return random_split(classes.names, data.split_seed, data.split_ratio)


class FashionMnistByPart(FashionMnist):
    """Pictures of the two published parts stay apart, in ``train/bag`` and ``test/bag``."""

    prepared_as = "fashion_mnist-parts"

    def parts(self, root: Path) -> set[str]:
        """Both, if the files are there."""
        return set(_files(root))

    @override
    def _classes(self, parts: Mapping[str, _Part], size: int) -> list[LazyClass]:
        return [item for name, part in parts.items() for item in _by_label(name, *part, size)]


class _Part(NamedTuple):
    pixels: Images
    labels: Images


def _files(root: Path) -> dict[str, tuple[Path, Path]]:
    """Images and labels of each part; empty where a file is missing."""
    found = {}
    for part, prefix in _PARTS.items():
        pair = [
            next((p for p in (root / f"{name}.gz", root / name) if p.is_file()), None)
            for name in (f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte")
        ]
        if pair[0] is None or pair[1] is None:
            return {}
        found[part] = (pair[0], pair[1])
    return found


def _read(images: Path, labels: Path) -> _Part:
    part = _Part(read_idx(images, 3, _NEEDS), read_idx(labels, 1, _NEEDS))
    if len(part.pixels) != len(part.labels) or part.labels.max() >= len(_CLASSES):
        raise InputError(
            f"{labels} has {len(part.labels):,} labels up to {part.labels.max()} for "
            f"{len(part.pixels):,} images in {len(_CLASSES)} classes: {_NEEDS}"
        )
    return part


def _by_label(part: str, pixels: Images, labels: Images, size: int) -> list[LazyClass]:
    return [
        ArrayClass(
            name=f"{part}/{name}" if part else name,
            group=part,
            pixels=pixels[labels == label],
            image_size=size,
        )
        for label, name in enumerate(_CLASSES)
        if (labels == label).any()
    ]


def _record(parts: Mapping[str, _Part]) -> SourcesRecord:
    source = Source(
        name="Fashion-MNIST",
        author="Zalando SE",
        license="MIT",
        url="https://github.com/zalandoresearch/fashion-mnist",
        images=sum(len(part.labels) for part in parts.values()),
    )
    return SourcesRecord(sources=(source,), left_out={})
