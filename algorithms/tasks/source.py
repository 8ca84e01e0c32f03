"""What an episode is sampled from."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from metaray.algorithms.episode import BatchSpec, Episode, EpisodeShape, Split, TaskSpec

_SPLIT_CODE: dict[Split, int] = {"train": 0, "val": 1, "test": 2}


class EpisodeSource(Protocol):
    """A family of tasks. ``sample`` is a pure function of the spec: no state, no global seed.

    A class of your own with these methods is a data set: ``data.name=my_tasks:Lines`` (see
    docs/extending.md).

    Example: regression of straight lines.

        >>> class Lines:
        ...     kind, input_shape, content_sha256 = "regression", (1,), None
        ...
        ...     def check(self, split, shape):
        ...         pass
        ...
        ...     def sample(self, spec):
        ...         rng = episode_rng(spec)
        ...         slope = rng.uniform(-1, 1)
        ...         x = torch.from_numpy(rng.uniform(-5, 5, (spec.shape.shots, 1)))
        ...         q = torch.from_numpy(rng.uniform(-5, 5, (spec.shape.queries, 1)))
        ...         return Episode(x, slope * x, q, slope * q, episode_key(rng))
        ...
        ...     def describe(self, spec):
        ...         return ["a line"]
        >>> shape = EpisodeShape(ways=1, shots=3, queries=2)
        >>> spec = TaskSpec(split="test", index=0, seed=0, shape=shape)
        >>> first, again = Lines().sample(spec), Lines().sample(spec)
        >>> torch.equal(first.support_y, again.support_y), first.query_x.shape
        (True, torch.Size([2, 1]))
    """

    @property
    def kind(self) -> Literal["classification", "regression"]:
        """What the labels are."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without batch axis: ``(C, H, W)`` for images."""

    @property
    def content_sha256(self) -> str | None:
        """Hash of all images behind the episodes; None when they are computed."""

    def check(self, split: Split, shape: EpisodeShape) -> None:
        """Raise InputError when ``split`` cannot serve episodes of ``shape``."""

    def sample(self, spec: TaskSpec) -> Episode:
        """The episode of ``spec``, the same on any machine."""

    def num_classes(self, split: Split) -> int:
        """Classes in ``split``, each rotation being one. InputError for regression."""

    def sample_batch(self, spec: BatchSpec) -> Episode:
        """The mini-batch of ``spec``: an episode with an empty support set.

        The labels of its query set, 0 .. ``num_classes`` - 1, are the same in every batch.
        InputError for regression.
        """

    def describe(self, spec: TaskSpec) -> list[str]:
        """What stands behind each label of the episode of ``spec``."""


def episode_rng(spec: TaskSpec | BatchSpec) -> np.random.Generator:
    """The random stream of one episode or batch, independent of every other's."""
    key = (_SPLIT_CODE[spec.split], spec.index)
    return np.random.default_rng(np.random.SeedSequence(spec.seed, spawn_key=key))


def shape_rng(spec: TaskSpec) -> np.random.Generator:
    """The random stream of what tasks with the ``shape_index`` of ``spec`` have in common."""
    key = (_SPLIT_CODE[spec.split], spec.shape_index or 0, 1)
    return np.random.default_rng(np.random.SeedSequence(spec.seed, spawn_key=key))


def episode_key(rng: np.random.Generator) -> Tensor:
    """The ``key`` of an episode: drawn last, so that it changes nothing else."""
    return torch.tensor(int(rng.integers(2**31)))
