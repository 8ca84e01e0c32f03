"""Tasks without images: straight lines, computed as they are used."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.episode import Episode
from metaray.algorithms.episode_shape import BatchSpec, EpisodeShape, Split, TaskSpec
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.source import episode_key, episode_rng


class LinesConfig(DataConfig):
    """Straight lines."""

    noise: float = 0.1
    """standard deviation of the labels"""

    @property
    @override
    def is_regression(self) -> bool:
        return True

    @property
    @override
    def has_images(self) -> bool:
        return False


class Lines:
    """Regression of straight lines from a few points."""

    config_class = LinesConfig
    kind: Literal["regression"] = "regression"
    input_shape = (1,)
    content_sha256 = None

    def __init__(self, config: LinesConfig) -> None:
        self._noise = config.noise

    def check(self, split: Split, shape: EpisodeShape) -> None:
        """Lines of any shape can be drawn."""

    def sample(self, spec: TaskSpec) -> Episode:
        """Support and query of one line."""
        rng = episode_rng(spec)
        slope, offset = rng.uniform(-1, 1, 2)

        def points(n: int) -> tuple[Tensor, Tensor]:
            x = rng.uniform(-5, 5, (n, 1))
            y = slope * x + offset + rng.normal(0, self._noise, x.shape)
            return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.astype(np.float32))

        support, query = points(spec.shape.shots), points(spec.shape.queries)
        return Episode(*support, *query, episode_key(rng))

    def num_classes(self, split: Split) -> int:
        """Raise InputError: there are none."""
        raise InputError("lines have no classes")

    def sample_batch(self, spec: BatchSpec) -> Episode:
        """Raise InputError: there are no classes to draw from."""
        raise InputError("lines have no classes")

    def describe(self, spec: TaskSpec) -> list[str]:
        """The one row of the episode."""
        return ["a line"]
