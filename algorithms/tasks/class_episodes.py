"""Which classes and examples an episode or a mini-batch has: what all sets of classes share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from metaray.algorithms.tasks.source import episode_key, episode_rng, shape_rng
from metaray.algorithms.tasks.splits import Splits
from metaray.algorithms.tasks.store import ImageStore
from metaray.algorithms.tasks.varying import (
    Counts,
    draw_beginning,
    draw_shots,
    draw_support_size,
    draw_ways,
)


class Way(NamedTuple):
    """One class of an episode: a stored class, seen at a number of quarter turns."""

    class_id: int
    turns: int


class Chosen(NamedTuple):
    """The examples of a support or a query set, in its order."""

    labels: NDArray[np.int64]
    """``[n]``"""
    places: NDArray[np.int64]
    """of each among the examples of its class, ``[n]``"""


class EpisodeDraw(NamedTuple):
    """Which examples an episode has, and in which order."""

    ways: Sequence[Way]
    """the class behind each label"""
    support: Chosen
    query: Chosen
    rng: Generator
    """the rest of the random stream"""


class DrawnExamples(NamedTuple):
    """Examples of any classes, ``[n]`` each."""

    class_ids: NDArray[np.int64]
    images: NDArray[np.int64]
    """places in their class"""
    turns: NDArray[np.int64]
    labels: NDArray[np.int64]
    """places of their class in the split"""


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
    equally likely, and then classes of it. Where the shape varies, enough are ``min_ways``, and the
    group bounds the number of ways; ``varying.py`` has the distribution of ways and shots.
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
        if shape.unlabelled:
            self._check_unlabelled(split, shape)
            return
        available, fewest = self.most_ways(split, shape.within_group), shape.fewest_ways
        key = "task.min_ways" if shape.has_own_ways else f"{task}ways"
        if available < fewest and shape.within_group:
            raise InputError(
                f"no group of the {split} split of {self.store.header.name} has more than "
                f"{available} classes, fewer than the {fewest} ways of an episode: lower "
                f"{key} or set {task}within_group = false"
            )
        if available < fewest:
            raise InputError(
                f"the {split} split of {self.store.header.name} has {available} classes, fewer "
                f"than the {fewest} ways of an episode: lower {key} or use more classes"
            )
        needed = shape.shots + shape.queries
        number, name = self.smallest_class(split)
        if number < needed:
            shots = "task.sequence_shots" if shape.varying is not None else f"{task}shots"
            lower = f"{task}queries" if shape.has_own_ways else f"{shots} or {task}queries"
            raise InputError(
                f"class {name} of the {split} split has "
                f"{number} {self.things}, fewer than {shape.shots} shots + {shape.queries} "
                f"queries: lower {lower}"
            )

    def _check_unlabelled(self, split: Split, shape: EpisodeShape) -> None:
        available = int(self._image_ends[split][-1]) * self.turns(split)
        if available < shape.ways:
            raise InputError(
                f"the {split} split of {self.store.header.name} has {available} {self.things}, "
                f"fewer than the {shape.ways} ways of an episode: lower task.train_ways"
            )

    def sample(self, spec: TaskSpec) -> Episode:
        """Draw classes, then examples of each without replacement, then shuffle both sets.

        The label of a class is its place in the draw, which is a fresh random order.
        """
        ways, *sets, rng = self.draw(spec)
        support, query = (self._read(rng, spec.split, ways, chosen) for chosen in sets)
        if spec.shape.unlabelled:  # one that is not changed says most of an image
            if spec.shape.shots > 1:
                support = self._changed(rng, support[0]), support[1]
            query = self._changed(rng, query[0]), query[1]
        return Episode(*support, *query, episode_key(rng))

    def _changed(self, rng: Generator, x: Tensor) -> Tensor:
        """Copies of inputs that differ as two examples of one class might."""
        raise InputError(f"{self.things} cannot be changed: set task.train_labels = given")

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
        if spec.shape.unlabelled:
            return self._draw_unlabelled(rng, spec)
        ways = self._draw_ways(rng, spec)
        images = np.array([len(self.store.images(way.class_id)) for way in ways])
        shots = self._draw_shots(rng, spec, images).tolist()
        counts = zip(images.tolist(), shots, strict=True)
        drawn = [rng.choice(n, k + spec.shape.queries, replace=False) for n, k in counts]
        support = [places[:k] for places, k in zip(drawn, shots, strict=True)]
        query = [places[k:] for places, k in zip(drawn, shots, strict=True)]
        return EpisodeDraw(ways, _shuffled(rng, support), _shuffled(rng, query), rng)

    def _draw_unlabelled(self, rng: Generator, spec: TaskSpec) -> EpisodeDraw:
        """Examples that are a class each; two may be of one class, as labels play no part."""
        self.check(spec.split, spec.shape)
        shape = spec.shape
        drawn = self._draw_examples(rng, spec.split, shape.ways)
        ways = [
            Way(*way) for way in zip(drawn.class_ids.tolist(), drawn.turns.tolist(), strict=True)
        ]
        support, query = (
            _shuffled(rng, [np.full(count, place) for place in drawn.images])
            for count in (shape.shots, shape.queries)
        )
        return EpisodeDraw(ways, support, query, rng)

    def queries_of(self, spec: TaskSpec) -> tuple[list[str], NDArray[np.int64]]:
        """The class behind each label, without its turn, and the example of each query, ``[Q]``.

        An example is a place among those of its class.
        """
        draw, names = self.draw(spec), self.store.header.class_names
        return [names[way.class_id] for way in draw.ways], draw.query.places

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
        drawn = self._draw_examples(rng, spec.split, spec.size)
        labels = torch.from_numpy(drawn.labels * turns + drawn.turns)
        return BatchDraw(drawn.class_ids, drawn.images, drawn.turns, labels, rng)

    def _draw_examples(self, rng: Generator, split: Split, count: int) -> DrawnExamples:
        """Different ones of all classes, at any turn; all are equally likely."""
        ends, turns = self._image_ends[split], self.turns(split)
        drawn = rng.choice(ends[-1] * turns, count, replace=False)
        images, turned = drawn // turns, drawn % turns
        places = np.searchsorted(ends, images, side="right")
        starts = np.concatenate(([0], ends[:-1]))
        class_ids = np.asarray(self.splits[split])[places]
        return DrawnExamples(class_ids, images - starts[places], turned, places)

    def describe(self, spec: TaskSpec) -> list[str]:
        """The class behind every label of the episode of ``spec``, with its rotation if any."""
        names = self.store.header.class_names
        return [
            names[way.class_id] + (f" at {90 * way.turns}°" if way.turns else "")
            for way in self.draw(spec).ways
        ]

    def _draw_ways(self, rng: Generator, spec: TaskSpec) -> Sequence[Way]:
        """The classes behind the labels, in their order."""
        self.check(spec.split, spec.shape)
        turns, varying = self.turns(spec.split), spec.shape.varying
        shares = varying is not None and not spec.draws_shape
        ways = self._shared_size(spec)[0] if shares else spec.shape.ways
        classes = self._draw_classes(rng, spec, ways)
        if varying is not None and spec.draws_shape:
            ways = draw_ways(rng, varying, min(ways, len(classes) * turns))
        drawn = rng.choice(len(classes) * turns, ways, replace=False)
        return [Way(classes[i // turns], i % turns) for i in drawn.tolist()]

    def _draw_classes(self, rng: Generator, spec: TaskSpec, ways: int) -> Sequence[int]:
        """Those that an episode draws from: of the split, or of a group with enough of them."""
        if not spec.shape.within_group:
            return self.splits[spec.split]
        enough = spec.shape.fewest_ways if spec.draws_shape else ways
        groups, turns = self._groups[spec.split], self.turns(spec.split)
        large = [group for group in groups if len(group) * turns >= enough]
        return large[rng.integers(len(large))]

    def _shared_size(self, spec: TaskSpec) -> tuple[int, int]:
        """Classes and support examples of every task with this ``shape_index``."""
        shape, varying = spec.shape, spec.shape.varying
        assert varying is not None
        rng, turns = shape_rng(spec), self.turns(spec.split)
        if varying.in_sequence:
            return shape.ways, int(rng.integers(1, varying.max_support))
        # within a group there are no more ways than one that is drawn as if for an episode has
        classes = self._draw_classes(rng, replace(spec, shape_index=None), shape.ways)
        ways = draw_ways(rng, varying, min(shape.ways, len(classes) * turns))
        smallest = np.repeat(self._sizes[spec.split], turns)[:ways]
        return ways, draw_support_size(rng, shape, smallest)

    def _draw_shots(self, rng: Generator, spec: TaskSpec, images: Counts) -> Counts:
        """The support examples of classes that have so many ``images``."""
        shape = spec.shape
        if shape.varying is None:
            return np.full(len(images), shape.shots)
        if spec.draws_shape:
            size = draw_support_size(rng, shape, images)
        else:
            size = self._shared_size(spec)[1]
        if shape.varying.in_sequence:
            return draw_beginning(rng, size, shape)
        return draw_shots(rng, size, images, shape.queries, exactly=not spec.draws_shape)

    def _read(
        self, rng: Generator, split: Split, ways: Sequence[Way], chosen: Chosen
    ) -> tuple[Tensor, Tensor]:
        """Inputs and labels of a support or a query set."""
        labels, places = chosen
        header = self.store.header
        stored = np.empty((len(labels), *header.image_shape), header.dtype)
        by_class = labels.argsort(kind="stable")
        ends = np.bincount(labels, minlength=len(ways)).cumsum().tolist()
        for (class_id, turns), start, end in zip(ways, [0, *ends[:-1]], ends, strict=True):
            rows = by_class[start:end]
            stored[rows] = self._seen_at(turns, self.store.images(class_id).take(places[rows], 0))
        return self._inputs(rng, split, stored), torch.from_numpy(labels)

    @cached_property
    def _sizes(self) -> dict[Split, Counts]:
        """The numbers of examples of the classes of each split, the smallest first."""
        images = self.store.images
        return {s: np.sort([len(images(c)) for c in ids]) for s, ids in self.splits.items()}

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


def _shuffled(rng: Generator, parts: Sequence[NDArray[np.int64]]) -> Chosen:
    """The examples of each class, in a random order of all."""
    labels = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    order = rng.permutation(len(labels))
    return Chosen(labels[order], np.concatenate(parts)[order])
