"""Which classes and examples an episode or a mini-batch has: what all sets of classes share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from metaray.algorithms.episode import Episode
from metaray.algorithms.episode_shape import BatchSpec, EpisodeShape, Split, TaskSpec
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.content import Examples
from metaray.algorithms.tasks.source import episode_key, episode_rng
from metaray.algorithms.tasks.splits import Splits
from metaray.algorithms.tasks.store import ImageStore


class _Way(NamedTuple):
    """One class of an episode: a stored class, seen at a number of quarter turns."""

    class_id: int
    turns: int


class EpisodeDraw(NamedTuple):
    """Which examples an episode has, and in which order."""

    ways: Sequence[_Way]
    images: NDArray[np.int64]
    """the examples of each class, ``[ways, shots + queries]``"""
    orders: tuple[NDArray[np.int64], NDArray[np.int64]]
    """of the support and the query examples, all classes in a row"""
    rng: Generator
    """the rest of the random stream"""


class BatchDraw(NamedTuple):
    """Which examples a mini-batch has: of each the class, the place in its class, and the turns."""

    class_ids: NDArray[np.int64]
    images: NDArray[np.int64]
    turns: NDArray[np.int64]
    labels: Tensor
    rng: Generator
    """the rest of the random stream"""


@dataclass(frozen=True)
class ClassEpisodes(ABC):
    """Draws the classes and examples of episodes over a prepared set.

    An episode ``within_group`` first draws a group that has enough classes, all of which are
    equally likely, and then classes of it.
    """

    things: ClassVar[str]
    """what the examples are, in the plural, for messages"""

    store: ImageStore
    splits: Splits

    @property
    def kind(self) -> Literal["classification"]:
        """Labels are classes."""
        return "classification"

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without batch axis."""

    @property
    def content_sha256(self) -> str:
        """The hash that the store recorded."""
        return self.store.header.sha256

    def turns(self, split: Split) -> int:
        """As how many classes a class of ``split`` counts: 4 where quarter turns are classes."""
        return 1

    def _seen_at(self, turns: int, stored: Examples) -> Examples:
        """Stored examples at a number of quarter turns."""
        return stored

    @abstractmethod
    def _inputs(self, rng: Generator, split: Split, stored: Examples) -> Tensor:
        """Stored examples ``[n, *shape]`` as the float32 inputs of a network."""

    def check(self, split: Split, shape: EpisodeShape) -> None:
        """Raise InputError when ``split`` has too few classes, or a class too few examples."""
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
        number, name = self.smallest_class(split)
        if number < needed:
            raise InputError(
                f"class {name} of the {split} split has "
                f"{number} {self.things}, fewer than {shape.shots} shots + {shape.queries} "
                f"queries: lower {task}shots or {task}queries"
            )

    def sample(self, spec: TaskSpec) -> Episode:
        """Draw classes, then examples of each without replacement, then shuffle both sets.

        The label of a class is its place in the draw, which is a fresh random order.
        """
        draw = self.draw(spec)
        stored = self._gather(draw)
        shots = spec.shape.shots
        parts = (stored[:, :shots], draw.orders[0]), (stored[:, shots:], draw.orders[1])
        support, query = (self._ordered(draw.rng, spec.split, *part) for part in parts)
        return Episode(*support, *query, episode_key(draw.rng))

    def sample_batch(self, spec: BatchSpec) -> Episode:
        """Draw examples of all classes without replacement; all are equally likely.

        The label of a class is its place in the split, times the turns, plus its turn.
        """
        draw, header = self.draw_batch(spec), self.store.header
        stored = np.empty((spec.size, *header.image_shape), header.dtype)
        for row, (class_id, image, turns) in enumerate(zip(*draw[:3], strict=True)):
            stored[row] = self._seen_at(turns, self.store.images(class_id)[image])
        x, y = self._inputs(draw.rng, spec.split, stored), draw.labels
        return Episode(x[:0], y[:0], x, y, episode_key(draw.rng))

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
        """The class behind each label, without its turn, and the example of each query, ``[Q]``.

        An example is a place among those of its class.
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
        """Number of examples and name of the class of ``split`` with the fewest."""
        smallest = self._smallest[split]
        return len(self.store.images(smallest)), self.store.header.class_names[smallest]

    def draw_batch(self, spec: BatchSpec) -> BatchDraw:
        """The random choices of the mini-batch of ``spec``."""
        rng = episode_rng(spec)
        turns = self.turns(spec.split)
        ends = self._image_ends[spec.split]
        if spec.size > ends[-1] * turns:
            raise InputError(
                f"the {spec.split} split of {self.store.header.name} has {ends[-1] * turns} "
                f"{self.things}, fewer than a batch of {spec.size}: lower method.batch_size"
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

    def _gather(self, draw: EpisodeDraw) -> Examples:
        """The stored examples of every class, ``[ways, shots + queries, *shape]``."""
        header = self.store.header
        out = np.empty((*draw.images.shape, *header.image_shape), header.dtype)
        for label, ((class_id, turns), places) in enumerate(
            zip(draw.ways, draw.images, strict=True)
        ):
            out[label] = self._seen_at(turns, self.store.images(class_id)[places])
        return out

    def _ordered(
        self, rng: Generator, split: Split, stored: Examples, order: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        """Inputs and labels of examples ``[ways, n, *shape]``, in ``order``."""
        flat = stored.reshape(len(order), *stored.shape[2:])[order]
        return self._inputs(rng, split, flat), labels_of(stored.shape[1], order)

    @cached_property
    def _smallest(self) -> dict[Split, int]:
        """The class of each split that has the fewest examples."""
        images = self.store.images
        return {s: min(ids, key=lambda c: len(images(c))) for s, ids in self.splits.items()}

    @cached_property
    def _image_ends(self) -> dict[Split, NDArray[np.int64]]:
        """The number of examples up to the end of each class of a split."""
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


def labels_of(images: int, order: NDArray[np.int64]) -> Tensor:
    """Labels, int64, of all classes in a row, each with so many ``images``, in ``order``."""
    return torch.from_numpy(order // images)
