"""Sinusoid regression (Finn et al. 2017, section 5.1): y = A sin(w x - phase).

Amplitude A is uniform in [0.1, 5.0], the phase in [0, pi], and x in [-5, 5]. The paper gives the
ranges; the form x - phase is that of its reference code. There the frequency w is 1.

Meta-SGD (Li et al. 2017, section 4.1) draws w from [0.8, 1.2] too, and writes
y = A sin(w x + phase). Seen from (-x, -y) that is the form here, so the tasks are equally hard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from metaray.algorithms.episode import Episode
from metaray.algorithms.episode_shape import BatchSpec, EpisodeShape, Split, TaskSpec
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.source import episode_key, episode_rng

AMPLITUDE = (0.1, 5.0)
PHASE = (0.0, np.pi)
X_RANGE = (-5.0, 5.0)


class Curve(NamedTuple):
    """One task."""

    amplitude: float
    phase: float
    frequency: float

    def at(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Its values."""
        y: NDArray[np.float64] = self.amplitude * np.sin(self.frequency * x - self.phase)
        return y


@dataclass(frozen=True)
class SinusoidEpisodes:
    """Each task is one sine curve. The splits differ in their random streams alone.

    Attributes:
        frequencies: lowest and highest frequency of a curve.
    """

    frequencies: tuple[float, float] = (1.0, 1.0)

    @property
    def kind(self) -> Literal["regression"]:
        """Labels are numbers."""
        return "regression"

    @property
    def input_shape(self) -> tuple[int]:
        """One number."""
        return (1,)

    @property
    def content_sha256(self) -> None:
        """Nothing is stored."""
        return None

    def check(self, split: Split, shape: EpisodeShape) -> None:
        """Raise InputError unless ``ways`` is 1: regression has no classes."""
        if shape.ways != 1:
            raise InputError(
                f"sinusoid is regression and has no classes, got {shape.ways} ways: "
                "set task.ways = 1"
            )
        if shape.within_group:
            raise InputError(
                "sinusoid is regression and has no groups of classes: leave out task.within_group"
            )

    def sample(self, spec: TaskSpec) -> Episode:
        """Support and query of one curve: x and y float32 ``[K, 1]`` and ``[Q, 1]``."""
        self.check(spec.split, spec.shape)
        rng = episode_rng(spec)
        curve = self._curve(rng)
        support = _points(rng, curve, spec.shape.shots)
        query = _points(rng, curve, spec.shape.queries)
        return Episode(*support, *query, episode_key(rng))

    def num_classes(self, split: Split) -> int:
        """Raise InputError: there are none."""
        raise InputError(
            "sinusoid is regression and has no classes: set data.name to a set of them"
        )

    def sample_batch(self, spec: BatchSpec) -> Episode:
        """Raise InputError: there are no classes to draw from."""
        raise InputError(
            "sinusoid is regression and has no batches over classes: train on episodes"
        )

    def describe(self, spec: TaskSpec) -> list[str]:
        """The curve of the episode of ``spec``, as the name of its only row."""
        curve = self._curve(episode_rng(spec))
        factor = "" if curve.frequency == 1 else f"{curve.frequency:.2f} "
        return [f"y = {curve.amplitude:.2f} sin({factor}x - {curve.phase:.2f})"]

    def _curve(self, rng: Generator) -> Curve:
        amplitude, phase = rng.uniform(*AMPLITUDE), rng.uniform(*PHASE)
        low, high = self.frequencies  # one value draws nothing, so tasks are those of before
        return Curve(amplitude, phase, low if low == high else rng.uniform(low, high))


def _points(rng: Generator, curve: Curve, n: int) -> tuple[Tensor, Tensor]:
    x = rng.uniform(*X_RANGE, (n, 1))
    y = curve.at(x)
    return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.astype(np.float32))
