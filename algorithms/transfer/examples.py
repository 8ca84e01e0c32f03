"""Labelled images of one domain, divided within each class into training, validation and test.

Episodes hold whole classes out; here every part has all classes, and other images of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.random import SeedSequence, default_rng
from numpy.typing import NDArray
from torch import Tensor

from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.catalog import (
    BY_PART,
    dataset_of,
    open_store,
    splits_of,
)
from metaray.algorithms.tasks.channels import converted
from metaray.algorithms.tasks.dataset import ImageDataset
from metaray.algorithms.tasks.parts import Mapper, Progress
from metaray.algorithms.tasks.store import ImageStore
from metaray.algorithms.transfer.domain_config import DomainConfig

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Place:
    """Where the images of one part lie."""

    classes: Indices
    """stored class of each image, ``[n]``"""
    rows: Indices
    """its row there, ``[n]``"""
    labels: Indices
    """its label, ``[n]``"""

    def __len__(self) -> int:
        return len(self.labels)


class Examples:
    """The images of a domain by part and index. Pickling it sends paths and settings alone.

    ``section`` is where ``config`` stands among the settings: ``data`` or ``target``.
    """

    def __init__(self, store: ImageStore, config: DomainConfig, section: str = "data") -> None:
        self.store = store
        self.config = config
        self.section = section
        self.class_names, held = _stored_classes(store, config)
        self._places = _divided(store, self.class_names, held, config, section)

    @property
    def content_sha256(self) -> str:
        """The hash that the store recorded."""
        return self.store.header.sha256

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``."""
        stored, height, width = self.store.header.image_shape
        return self.config.channels or stored, height, width

    def count(self, part: Part) -> int:
        """Images in ``part``."""
        return len(self._places[part])

    def labels(self, part: Part) -> Indices:
        """Labels ``[n]`` of all images of ``part``: places in ``class_names``."""
        return self._places[part].labels

    def images(self, part: Part, indices: Indices) -> Tensor:
        """Images ``[len(indices), C, H, W]`` in [0, 1], float32."""
        place = self._places[part]
        pixels = np.empty((len(indices), *self.store.header.image_shape), np.uint8)
        for out, index in enumerate(indices):
            pixels[out] = self.store.images(int(place.classes[index]))[place.rows[index]]
        x = torch.from_numpy(np.divide(pixels, np.float32(255), dtype=np.float32))
        return converted(x, self.input_shape[0])

    def num_leaked(self) -> int:
        """Test images that are training images too, byte for byte."""
        train = set(self._bytes("train"))
        return sum(image in train for image in self._bytes("test"))

    def _bytes(self, part: Part) -> Iterator[bytes]:
        place = self._places[part]
        for c, row in zip(place.classes, place.rows, strict=True):
            yield hashlib.sha256(self.store.images(int(c))[row].tobytes()).digest()

    def without_label_limit(self) -> Examples:
        """The same images, all of them to train on, for who sees no labels."""
        unlimited = self.config.model_copy(update={"labels_per_class": None})
        return Examples(self.store, unlimited, self.section)

    def describe(self) -> dict[str, int]:
        """Images of each part."""
        return {part: self.count(part) for part in PARTS}


def open_examples(
    config: DomainConfig,
    section: str = "data",
    progress: Progress | None = None,
    mapper: Mapper = map,
) -> Examples:
    """The images of ``config``, which is ``section`` of the settings; prepared if need be.

    Raises:
        InputError: raw data is missing or damaged, or a part would be empty.
    """
    published = config.division == "published"
    dataset = BY_PART[config.name] if published else dataset_of(config.name)
    if not isinstance(dataset, ImageDataset):
        raise InputError(f"{config.name} has no labelled images: set {section}.name to others")
    stored = config.stored()
    if progress is None:
        return Examples(open_store(dataset, stored, mapper=mapper), config, section)
    return Examples(open_store(dataset, stored, progress, mapper), config, section)


def check_other_classes(source: Examples, target: Examples) -> None:
    """Raise InputError unless the domains have no class in common."""
    common = sorted(set(source.class_names) & set(target.class_names))
    if common:
        raise InputError(
            f"source and target have {len(common)} classes in common ({', '.join(common[:3])}), "
            "and job.target_classes = other means that they have none: leave it out, or take "
            "other classes"
        )


def check_same_classes(source: Examples, target: Examples) -> None:
    """Raise InputError unless both domains have the same classes."""
    if source.class_names == target.class_names:
        return
    only = [sorted(set(a) - set(b))[:3] for a, b in _both_ways(source, target)]
    found = f"{len(source.class_names)} and {len(target.class_names)} classes"
    told = "; ".join(
        f"only the {side} has {', '.join(names)}"
        for side, names in zip(("source", "target"), only, strict=True)
        if names
    )
    raise InputError(
        f"source and target must have the same classes, found {found} ({told}): name the folders "
        "or labels of both alike"
    )


def _both_ways(source: Examples, target: Examples) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    names = source.class_names, target.class_names
    return [names, (names[1], names[0])]


class _Held(NamedTuple):
    """A stored class."""

    stored: int
    part: Part | None
    label: int


def _stored_classes(store: ImageStore, config: DomainConfig) -> tuple[tuple[str, ...], list[_Held]]:
    """Names of the classes, and the stored classes that hold their images."""
    stored = store.header.class_names
    kept: Sequence[int] = range(len(stored))
    if config.split is not None:
        kept = splits_of(store, config.stored())["train"]
    split: list[tuple[Part | None, str]] = []
    for name in (stored[c] for c in kept):
        head, _, rest = name.partition("/")
        by_part = config.division == "published" and rest
        part = next((p for p in PARTS if by_part and p == head), None)
        split.append((part, rest if part else name))
    names = tuple(sorted({name for _, name in split}, key=_numbers_by_value))
    place = {name: label for label, name in enumerate(names)}
    held = [_Held(c, part, place[name]) for c, (part, name) in zip(kept, split, strict=True)]
    return names, held


def _numbers_by_value(name: str) -> tuple[int, int, str]:
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)


def _divided(
    store: ImageStore,
    names: tuple[str, ...],
    held: list[_Held],
    config: DomainConfig,
    section: str,
) -> dict[Part, Place]:
    """Where the images of each part lie: a pure function of the store and the settings."""
    taken: dict[Part, list[tuple[int, int, int]]] = {part: [] for part in PARTS}
    published = {one.part for one in held if one.part}
    if config.division == "published" and not {"train", "test"} <= published:
        found = ", ".join(sorted(published)) or "no parts"
        raise InputError(
            f"{config.name} publishes {found}, and not both train and test: set "
            f"{section}.division = random"
        )
    for label, name in enumerate(names):
        own = [(one.part, one.stored) for one in held if one.label == label]
        for part, rows in _parts_of_class(store, own, label, config, "val" in published):
            taken[part] += [(c, row, label) for c, row in rows]
        for part in PARTS:
            if not taken[part] or taken[part][-1][2] != label:
                raise InputError(
                    f"class {name} of {config.name} has no images for {part}: add some, remove "
                    f"the class, or change {section}.val_share, test_share or division"
                )
    return {part: Place(*np.array(rows, np.int64).T) for part, rows in taken.items()}


_Rows = list[tuple[int, int]]


def _parts_of_class(
    store: ImageStore,
    own: list[tuple[Part | None, int]],
    label: int,
    config: DomainConfig,
    has_val: bool,
) -> list[tuple[Part, _Rows]]:
    """The images (stored class, row) of one class by part, in an order drawn by the seed."""
    rng = default_rng(SeedSequence(config.division_seed, spawn_key=(label,)))
    parts: dict[Part, _Rows] = {part: [] for part in PARTS}
    for part, c in own:
        rows = [(c, int(row)) for row in rng.permutation(len(store.images(c)))]
        parts[part or "train"] += rows
    rows = parts["train"]
    if config.division == "random":
        test = _share(len(rows), config.test_share)
        parts["test"], rows = rows[:test], rows[test:]
        val = _share(len(rows) + test, config.val_share)
        parts["val"], rows = rows[:val], rows[val:]
    elif not has_val:
        val = _share(len(rows), config.val_share)
        parts["val"], rows = rows[:val], rows[val:]
    limit = config.labels_per_class
    parts["train"], parts["val"] = rows[:limit], parts["val"][:limit]
    return list(parts.items())


def _share(count: int, share: float) -> int:
    return max(1, round(count * share))
