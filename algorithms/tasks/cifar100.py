"""CIFAR-FS and FC100: two few-shot splits of CIFAR-100 (Krizhevsky 2009), from its own files.

CIFAR-100 has 100 classes of 600 colour images, 32 x 32, in 20 superclasses. Both sets take all
600 of a class, those of its file ``train`` before those of ``test``.

``cifar_fs`` (Bertinetto et al. 2019, "Meta-learning with differentiable closed-form solvers")
    64 / 16 / 20 classes, drawn at random by the authors; the lists below are theirs.
``fc100`` (Oreshkin et al. 2018, "TADAM")
    12 / 4 / 4 superclasses, so 60 / 20 / 20 classes, so that test classes are less like
    training classes.

The files are pickles, read as data only. The archive is read in memory and never extracted.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from typing_extensions import override

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.episode_shape import Split
from metaray.algorithms.errors import InputError
from metaray.algorithms.reading import refusing_damage
from metaray.algorithms.tasks.arrays import ArrayClass
from metaray.algorithms.tasks.content import Images
from metaray.algorithms.tasks.dataset import (
    ClassLists,
    ImageDataset,
    LazyClass,
    find_published,
    missing,
    published_files,
)
from metaray.algorithms.tasks.image_files import RESIZING
from metaray.algorithms.tasks.limits import ReadLimits
from metaray.algorithms.tasks.safe_pickle import array_of, load_data
from metaray.algorithms.tasks.splits import Splits, by_group, by_label

VERSION = 1
"""changes whenever the pixels do, so that a cached set is never taken for a newer one"""

_FOLDER = "cifar-100-python"
_ARCHIVE = f"{_FOLDER}.tar.gz"
_PARTS = ("train", "test", "meta")
_NEEDS = (
    f"get {_ARCHIVE} (161 MB) from https://www.cs.toronto.edu/~kriz/cifar.html and point data.root "
    f"at it, at the folder that it is in, or at the folder {_FOLDER} unpacked from it"
)

_CIFAR_FS: dict[Split, str] = {
    "val": "beaver otter flatfish shark lamp television beetle butterfly sea camel cattle crab "
    "crocodile maple_tree motorcycle tractor",
    "test": "whale poppy rose sweet_pepper telephone bed table wardrobe leopard plain chimpanzee "
    "fox snail worm baby man woman bicycle pickup_truck rocket",
}
_FC100: dict[Split, str] = {
    "train": "fish flowers food_containers fruit_and_vegetables household_electrical_devices "
    "household_furniture large_man-made_outdoor_things large_natural_outdoor_scenes reptiles "
    "trees vehicles_1 vehicles_2",
    "val": "large_carnivores large_omnivores_and_herbivores non-insect_invertebrates small_mammals",
    "test": "aquatic_mammals insects medium_mammals people",
}


class _Cifar100(ImageDataset):
    splits = ("published",)
    settings = ("root", "rotations", "augment", "channels")
    needs = _NEEDS
    prepared_as = "cifar100"
    published_images = True

    @override
    def parameters(self, data: DataConfig) -> dict[str, str | int]:
        return {"version": VERSION, "image_size": data.image_size, "filter": RESIZING}

    @override
    def raw_files(self, root: Path, data: DataConfig) -> Mapping[str, Path] | None:
        return published_files(find_published(root, _FOLDER, _ARCHIVE, _PARTS), _PARTS)

    @contextmanager
    @override
    def open_classes(
        self, root: Path, data: DataConfig, scratch: Path
    ) -> Iterator[Sequence[LazyClass]]:
        """The 100 classes in the order of their names; a class's group is its superclass."""
        place = find_published(root, _FOLDER, _ARCHIVE, _PARTS)
        if place is None:
            raise missing("CIFAR-100", root, _NEEDS)
        yield _classes(place, data.image_size)


class CifarFS(_Cifar100):
    """See the module."""

    name = "cifar_fs"
    description = "CIFAR-100 in 64/16/20 classes drawn at random (Bertinetto et al. 2019)"

    @override
    def split(self, classes: ClassLists, data: DataConfig) -> Splits:
        """By the authors' lists."""
        of: dict[str, Split] = {c: s for s, names in _CIFAR_FS.items() for c in names.split()}
        return by_label(of.get(name, "train") for name in classes.names)


class FC100(_Cifar100):
    """See the module."""

    name = "fc100"
    description = "CIFAR-100 in 12/4/4 superclasses (Oreshkin et al. 2018)"

    @override
    def split(self, classes: ClassLists, data: DataConfig) -> Splits:
        """By superclass."""
        of: dict[str, Split] = {g: s for s, groups in _FC100.items() for g in groups.split()}
        return by_group(of, classes.groups)


def _classes(place: Path, image_size: int) -> list[LazyClass]:
    contents = _read(place)
    fine, coarse = (_names(contents, place, f"{kind}_label_names") for kind in ("fine", "coarse"))
    known = {name for names in _FC100.values() for name in names.split()}
    if len(fine) != 100 or len(set(fine)) != 100 or len(coarse) != 20 or set(coarse) != known:
        raise InputError(
            f"{place} names {len(fine)} classes and {len(coarse)} superclasses that are not those "
            f"of CIFAR-100: {_NEEDS}"
        )
    pixels, labels, groups = (
        np.concatenate(arrays)
        for arrays in zip(
            *(_images(contents, place, part) for part in ("train", "test")), strict=True
        )
    )
    if not set(range(100)) == set(labels.tolist()):
        raise InputError(f"{place} does not hold images of all 100 classes: {_NEEDS}")
    first = {label: int(np.argmax(labels == label)) for label in range(100)}
    return [
        ArrayClass(
            name=fine[label],
            group=coarse[groups[first[label]]],
            pixels=pixels[labels == label],
            image_size=image_size,
        )
        for label in sorted(range(100), key=lambda label: fine[label])
    ]


def _images(contents: dict[str, Any], place: Path, part: str) -> tuple[Images, Any, Any]:
    """Pixels ``[n, 32, 32, 3]``, labels ``[n]`` and labels of superclasses ``[n]``."""
    pixels, *labels = (
        array_of(_field(contents, place, part, key), f"{key} of {place}, {part}")
        for key in ("data", "fine_labels", "coarse_labels")
    )
    sound = pixels.dtype == np.uint8 and pixels.ndim == 2 and pixels.shape[1] == 3 * 32 * 32
    if not sound or any(
        kind.dtype.kind not in "iu"
        or kind.shape != (len(pixels),)
        or kind.size == 0
        or kind.min() < 0
        or kind.max() >= limit
        for kind, limit in zip(labels, (100, 20), strict=True)
    ):
        raise InputError(
            f"{place}, {part}: expected uint8 data [n, 3072] with as many labels, found "
            f"{pixels.dtype} {list(pixels.shape)} with {labels[0].size} labels "
            f"of {labels[0].dtype} and {labels[1].size} of {labels[1].dtype}: {_NEEDS}"
        )
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels[0], labels[1]


def _names(contents: dict[str, Any], place: Path, key: str) -> list[str]:
    found = _field(contents, place, "meta", key)
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise InputError(f"{place}, meta: {key} is no list of names, it is damaged: {_NEEDS}")
    return found


def _field(contents: dict[str, Any], place: Path, part: str, key: str) -> Any:
    content = contents[part]
    if not isinstance(content, dict) or key not in content:
        raise InputError(f"{place}, {part} has no {key}, it is not CIFAR-100's: {_NEEDS}")
    return content[key]


def _read(place: Path) -> dict[str, Any]:
    if place.is_dir():
        return {part: _load(_opened(place / part), place / part) for part in _PARTS}
    limits = ReadLimits.from_environment()
    problem = f"{place} is truncated or not {_ARCHIVE}"
    with refusing_damage(problem, _NEEDS), tarfile.open(place, "r:gz") as tar:
        members = {part: tar.getmember(f"{_FOLDER}/{part}") for part in _PARTS}
        for part, member in members.items():
            limits.check_unpacked(member.size, f"{part} in {place}")
        files = {part: tar.extractfile(member) for part, member in members.items()}
        data = {part: file.read() if file else b"" for part, file in files.items()}
    return {part: _load(io.BytesIO(data[part]), f"{place}, {part}") for part in _PARTS}


def _opened(path: Path) -> BinaryIO:
    with refusing_damage(f"cannot read {path}", _NEEDS):
        return path.open("rb")


def _load(file: BinaryIO, name: str | Path) -> Any:
    with file:
        return load_data(file, name)
