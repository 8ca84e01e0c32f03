"""The few-shot episode: what every method is trained and tested on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from metaray.algorithms.episode_shape import BatchSpec, EpisodeShape, Split, TaskSpec

__all__ = ["BatchSpec", "Episode", "EpisodeShape", "Split", "TaskSpec"]


class Episode(NamedTuple):
    """One episode, or T of them when every tensor has a leading task axis.

    Classification: ``x`` is float in [0, 1], ``y`` is int64 in 0..ways-1.
    Regression: ``x`` and ``y`` are float, ``[size, 1]``.
    """

    support_x: Tensor  # [N*K, *input_shape]; N*K stands for all support examples
    support_y: Tensor  # [N*K] or [N*K, 1]
    query_x: Tensor  # [N*Q, *input_shape]
    query_y: Tensor  # [N*Q] or [N*Q, 1]
    key: Tensor = torch.zeros((), dtype=torch.int64)
    """seed of what a method draws at random on this task, ``[]``"""

    def to(self, device: torch.device, dtype: torch.dtype) -> Episode:
        """Move to ``device``; floating tensors become ``dtype``, class labels stay int64."""
        return Episode(
            *(t.to(device, dtype) if t.is_floating_point() else t.to(device) for t in self)
        )

    @staticmethod
    def stack(episodes: Sequence[Episode]) -> Episode:
        """Join episodes of one shape along a new leading task axis."""
        return Episode(*(torch.stack(tensors) for tensors in zip(*episodes, strict=True)))


def num_classes(episodes: Episode) -> int:
    """Classes of an episode, or of each of T stacked ones; each has an example in the support set.

    Looks at the labels, so a GPU is waited for.
    """
    return int(episodes.support_y.max()) + 1


def with_fewer_classes(episodes: Episode, ways: int) -> Episode:
    """T stacked episodes whose support sets keep the classes below ``ways``.

    The queries are the support images that are left, and then all queries that there were.
    """
    kept = episodes.support_y < ways  # as many in each episode
    x = episodes.support_x[kept].unflatten(0, (len(kept), -1))
    y = episodes.support_y[kept].view(len(kept), -1)
    return Episode(
        x,
        y,
        torch.cat([x, episodes.query_x], dim=1),
        torch.cat([y, episodes.query_y], dim=1),
        episodes.key,
    )
