"""Few-shot classification episodes from a prepared image data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from metaray.algorithms.episode import Episode
from metaray.algorithms.episode_shape import BatchSpec, EpisodeShape, Split, TaskSpec
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.channels import converted
from metaray.algorithms.tasks.content import Images
from metaray.algorithms.tasks.source import episode_key, episode_rng
from metaray.algorithms.tasks.splits import Splits
from metaray.algorithms.tasks.store import ImageStore

Rotations = Literal["none", "train", "all"]
TestRotations = Literal["none", "classes"]


class _Way(NamedTuple):
    """One class of an episode: a stored class, seen at a number of quarter turns."""

    class_id: int
    turns: int


class EpisodeDraw(NamedTuple):
    """Which images an episode has, and in which order."""

    ways: Sequence[_Way]
    images: NDArray[np.int64]
    """the images of each class, ``[ways, shots + queries]``"""
    orders: tuple[NDArray[np.int64], NDArray[np.int64]]
    """of the support and the query images, all classes in a row"""
    rng: Generator
    """the rest of the random stream"""


class BatchDraw(NamedTuple):
    """Which images a mini-batch has: of each the class, the place in its class, and the turns."""

    class_ids: NDArray[np.int64]
    images: NDArray[np.int64]
    turns: NDArray[np.int64]
    labels: Tensor
    rng: Generator
    """the rest of the random stream"""


@dataclass(frozen=True)
class ImageEpisodes:
    """Episodes over an ImageStore. With rotations a class counts as four, one per quarter turn.

    The turn belongs to the class, so it is the same for its support and its query images, and all
    four stay in the split of the class they come from. Two turns of one character may meet in an
    episode, as two classes.

    Pixels are float in [0, 1] and not normalised by channel: the networks begin with a convolution
    under batch norm, which undoes any such scaling, and a test on another data set then needs no
    statistics of the first.

    With ``augment`` each image of training is shifted by up to an eighth of its size (the border
    is mirrored) and flipped with chance 1/2, by the random stream of its episode or batch.
    ``channels`` converts: grey is repeated, colour becomes its luma (ITU-R BT.601).

    ``test_rotations`` says for validation and test, in place of ``rotations``, whether a class
    counts as four. An episode ``within_group`` first draws a group that has enough classes, all of
    which are equally likely, and then classes of it.
    """

    store: ImageStore
    splits: Splits
    rotations: Rotations = "none"
    augment: bool = False
    channels: Literal[1, 3] | None = None
    test_rotations: TestRotations | None = None

    def __post_init__(self) -> None:
        _, height, width = self.input_shape
        if self.ever_turned and height != width:
            key = "data" if self.rotations != "none" else "evaluate"
            raise InputError(
                f"rotations by quarter turns need square images, got {height} x {width}: "
                f"set {key}.rotations = none"
            )

    @property
    def ever_turned(self) -> bool:
        """Whether the classes of any split are seen at quarter turns."""
        return self.rotations != "none" or self.test_rotations == "classes"

    @property
    def kind(self) -> Literal["classification"]:
        """Labels are classes."""
        return "classification"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``."""
        stored, height, width = self.store.header.image_shape
        return self.channels or stored, height, width

    @property
    def content_sha256(self) -> str:
        """The hash that the store recorded."""
        return self.store.header.sha256

    def check(self, split: Split, shape: EpisodeShape) -> None:
        """Raise InputError when ``split`` has too few classes, or a class too few images."""
        task = "task.train_" if split == "train" else "task."
        available = self.most_ways(split, shape.within_group)
        if available < shape.ways and shape.within_group:
            raise InputError(
                f"no group of the {split} split of {self.store.header.name} has more than "
                f"{available} classes, fewer than the {shape.ways} ways of an episode: lower "
                f"{task}ways or set {task}within_group = false"
            )
        if available < shape.ways:
            raise InputError(
                f"the {split} split of {self.store.header.name} has {available} classes, fewer "
                f"than the {shape.ways} ways of an episode: lower {task}ways or use more classes"
            )
        needed = shape.shots + shape.queries
        images, name = self.smallest_class(split)
        if images < needed:
            raise InputError(
                f"class {name} of the {split} split has "
                f"{images} images, fewer than {shape.shots} shots + {shape.queries} queries: "
                f"lower {task}shots or {task}queries"
            )

    def sample(self, spec: TaskSpec) -> Episode:
        """Draw classes, then images of each without replacement, then shuffle both sets.

        The label of a class is its place in the draw, which is a fresh random order.
        """
        draw = self.draw(spec)
        images = self._gather(draw)
        shots = spec.shape.shots
        support = _ordered(images[:, :shots], draw.orders[0])
        query = _ordered(images[:, shots:], draw.orders[1])
        support, query = (self._as_seen(draw.rng, spec.split, *part) for part in (support, query))
        return Episode(*support, *query, episode_key(draw.rng))

    def draw(self, spec: TaskSpec) -> EpisodeDraw:
        """The random choices of the episode of ``spec``."""
        rng = episode_rng(spec)
        ways = self._draw_ways(rng, spec)
        shots, queries = spec.shape.shots, spec.shape.queries
        images = np.empty((len(ways), shots + queries), np.int64)
        for label, way in enumerate(ways):
            stored = len(self.store.images(way.class_id))
            images[label] = rng.choice(stored, shots + queries, replace=False)
        orders = rng.permutation(len(ways) * shots), rng.permutation(len(ways) * queries)
        return EpisodeDraw(ways, images, orders, rng)

    def queries_of(self, spec: TaskSpec) -> tuple[list[str], NDArray[np.int64]]:
        """The class behind each label, without its turn, and the image behind each query, ``[Q]``.

        An image is a place among those of its class.
        """
        draw, names = self.draw(spec), self.store.header.class_names
        images = draw.images[:, spec.shape.shots :].reshape(-1)[draw.orders[1]]
        return [names[way.class_id] for way in draw.ways], images

    def num_classes(self, split: Split) -> int:
        """Classes of ``split``, times the quarter turns at which they are seen."""
        return len(self.splits[split]) * self.turns(split)

    def most_ways(self, split: Split, within_group: bool) -> int:
        """The classes of ``split`` that can meet in an episode."""
        if not within_group:
            return self.num_classes(split)
        return max(map(len, self._groups[split])) * self.turns(split)

    def smallest_class(self, split: Split) -> tuple[int, str]:
        """Images and name of the class of ``split`` that has the fewest."""
        smallest = self._smallest[split]
        return len(self.store.images(smallest)), self.store.header.class_names[smallest]

    def sample_batch(self, spec: BatchSpec) -> Episode:
        """Draw images of all classes without replacement; all are equally likely.

        The label of a class is its place in the split, times the turns, plus its turn.
        """
        draw = self.draw_batch(spec)
        x = np.empty((spec.size, *self.store.header.image_shape), np.uint8)
        for row, (class_id, image, turns) in enumerate(zip(*draw[:3], strict=True)):
            x[row] = np.rot90(self.store.images(class_id)[image], turns, axes=(-2, -1))
        query, y = self._as_seen(draw.rng, spec.split, unit_range(x), draw.labels)
        return Episode(query[:0], y[:0], query, y, episode_key(draw.rng))

    def draw_batch(self, spec: BatchSpec) -> BatchDraw:
        """The random choices of the mini-batch of ``spec``."""
        rng = episode_rng(spec)
        turns = self.turns(spec.split)
        ends = self._image_ends[spec.split]
        if spec.size > ends[-1] * turns:
            raise InputError(
                f"the {spec.split} split of {self.store.header.name} has {ends[-1] * turns} "
                f"images, fewer than a batch of {spec.size}: lower method.batch_size"
            )
        drawn = rng.choice(ends[-1] * turns, spec.size, replace=False)
        images, turned = drawn // turns, drawn % turns
        places = np.searchsorted(ends, images, side="right")
        starts = np.concatenate(([0], ends[:-1]))
        class_ids = np.asarray(self.splits[spec.split])[places]
        labels = torch.from_numpy(places * turns + turned)
        return BatchDraw(class_ids, images - starts[places], turned, labels, rng)

    def describe(self, spec: TaskSpec) -> list[str]:
        """The class behind every label of the episode of ``spec``, with its rotation if any."""
        names = self.store.header.class_names
        return [
            names[way.class_id] + (f" at {90 * way.turns}°" if way.turns else "")
            for way in self._draw_ways(episode_rng(spec), spec)
        ]

    @cached_property
    def _smallest(self) -> dict[Split, int]:
        """The class of each split that has the fewest images."""
        images = self.store.images
        return {s: min(ids, key=lambda c: len(images(c))) for s, ids in self.splits.items()}

    @cached_property
    def _image_ends(self) -> dict[Split, NDArray[np.int64]]:
        """The number of images up to the end of each class of a split."""
        images = self.store.images
        return {s: np.cumsum([len(images(c)) for c in ids]) for s, ids in self.splits.items()}

    @cached_property
    def _groups(self) -> dict[Split, list[list[int]]]:
        """The classes of each group of a split, groups in the order of their names."""
        names = self.store.header.class_groups
        found: dict[Split, list[list[int]]] = {}
        for split, ids in self.splits.items():
            groups: dict[str, list[int]] = {}
            for class_id in ids:
                groups.setdefault(names[class_id], []).append(class_id)
            found[split] = [groups[name] for name in sorted(groups)]
        return found

    def turns(self, split: Split) -> int:
        """As how many classes a class of ``split`` counts: 4 where quarter turns are classes."""
        if split != "train" and self.test_rotations is not None:
            return 4 if self.test_rotations == "classes" else 1
        return 4 if self.rotations == "all" or self.rotations == split else 1

    def _draw_ways(self, rng: Generator, spec: TaskSpec) -> Sequence[_Way]:
        """Must be the first use of ``rng``: describe repeats it."""
        self.check(spec.split, spec.shape)
        classes: Sequence[int] = self.splits[spec.split]
        turns = self.turns(spec.split)
        if spec.shape.within_group:
            groups = self._groups[spec.split]
            enough = [group for group in groups if len(group) * turns >= spec.shape.ways]
            classes = enough[rng.integers(len(enough))]
        drawn = rng.choice(len(classes) * turns, spec.shape.ways, replace=False)
        return [_Way(classes[i // turns], i % turns) for i in drawn.tolist()]

    def _gather(self, draw: EpisodeDraw) -> Images:
        """The images of every class, ``[ways, shots + queries, C, H, W]``."""
        out = np.empty((*draw.images.shape, *self.store.header.image_shape), np.uint8)
        for label, ((class_id, turns), places) in enumerate(
            zip(draw.ways, draw.images, strict=True)
        ):
            picked = self.store.images(class_id)[places]
            out[label] = np.rot90(picked, turns, axes=(-2, -1)) if turns else picked
        return out

    def _as_seen(self, rng: Generator, split: Split, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """``x`` augmented if it is for training, with the channels that were asked for."""
        if self.augment and split == "train":
            x = _augmented(rng, x)
        return converted(x, self.input_shape[0]), y


def _augmented(rng: Generator, x: Tensor) -> Tensor:
    """Each of ``x`` ``[n, C, H, W]`` shifted and flipped."""
    n, _, height, width = x.shape
    by_y, by_x = height // 8, width // 8
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (by_y, by_y), (by_x, by_x)), mode="reflect")
    tops, lefts = rng.integers(2 * by_y + 1, size=n), rng.integers(2 * by_x + 1, size=n)
    flips = rng.integers(2, size=n)
    out = np.empty(tuple(x.shape), np.float32)
    for i, (top, left, flip) in enumerate(zip(tops, lefts, flips, strict=True)):
        seen = padded[i, :, top : top + height, left : left + width]
        out[i] = seen[..., ::-1] if flip else seen
    return torch.from_numpy(out)


def _ordered(images: Images, order: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Images ``[ways, n, C, H, W]`` as float32 in [0, 1] and labels as int64, in ``order``."""
    flat = images.reshape(len(order), *images.shape[2:])[order]
    return unit_range(flat), labels_of(images.shape[1], order)


def labels_of(images: int, order: NDArray[np.int64]) -> Tensor:
    """Labels, int64, of all classes in a row, each with so many ``images``, in ``order``."""
    return torch.from_numpy(order // images)


def unit_range(pixels: Images) -> Tensor:
    """Bytes as float32 in [0, 1]."""
    return torch.from_numpy(np.divide(pixels, np.float32(255), dtype=np.float32))
