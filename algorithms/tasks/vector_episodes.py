"""Few-shot classification episodes over vectors: features of a frozen encoder, or tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.episode_shape import Split
from metaray.algorithms.tasks.class_episodes import ClassEpisodes
from metaray.algorithms.tasks.content import Examples, Vectors


@dataclass(frozen=True)
class VectorEpisodes(ClassEpisodes):
    """Episodes of vectors ``[D]``.

    With ``centre`` the mean of all vectors of the training classes is subtracted from each
    (SimpleShot: Wang, Chao, Weinberger & van der Maaten 2019, arXiv 1911.04623, section 3.1).
    """

    things: ClassVar[str] = "vectors"

    centre: bool = False

    @property
    @override
    def input_shape(self) -> tuple[int]:
        (size,) = self.store.header.image_shape
        return (size,)

    @override
    def _inputs(self, rng: Generator, split: Split, stored: Examples) -> Tensor:
        return torch.from_numpy(stored - self.training_mean if self.centre else stored)

    @cached_property
    def training_mean(self) -> Vectors:
        """The mean over the training classes, ``[D]``."""
        classes = [self.store.images(c) for c in self.splits["train"]]
        total = sum(vectors.sum(0, dtype=np.float64) for vectors in classes)
        mean: Vectors = (total / sum(map(len, classes))).astype(np.float32)
        return mean
