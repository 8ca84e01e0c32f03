"""The shape of an episode, and what determines one. No torch: configs read this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "val", "test"]


@dataclass(frozen=True, kw_only=True)
class EpisodeShape:
    """N-way K-shot with Q queries per class; for regression ``ways`` is 1."""

    ways: int
    shots: int
    queries: int
    within_group: bool = False
    """all classes are of one group, such as an alphabet"""

    @property
    def query_size(self) -> int:
        """Examples to predict in an episode: N * Q."""
        return self.ways * self.queries


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """All that determines one episode: the same spec gives the same episode on any machine."""

    split: Split
    index: int
    seed: int
    shape: EpisodeShape


@dataclass(frozen=True, kw_only=True)
class BatchSpec:
    """All that determines one mini-batch over the classes of a split."""

    split: Split
    index: int
    seed: int
    size: int
