"""The shape of an episode, and what determines one. No torch: configs read this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "val", "test"]


@dataclass(frozen=True, kw_only=True)
class Varying:
    """Bounds of ways and shots that are drawn for each episode (``tasks/varying.py``)."""

    min_ways: int
    max_support: int
    """most examples in a support set"""
    max_support_per_class: int
    """most that a class adds to the size of a support set"""
    in_sequence: bool = False
    """the support set is the beginning of a sequence in which each class has
    ``max_support_per_class`` examples, so that a class may have none yet"""


@dataclass(frozen=True, kw_only=True)
class EpisodeShape:
    """N-way K-shot with Q queries per class; for regression ``ways`` is 1."""

    ways: int
    shots: int
    queries: int
    within_group: bool = False
    """all classes are of one group, such as an alphabet"""
    varying: Varying | None = None
    """None: every episode has these ways and shots. Otherwise ``ways`` are the most that an
    episode has, and ``shots`` the fewest that a class has; in a sequence the most"""
    unlabelled: bool = False
    """every image is a separate class, and its queries are augmented copies of it"""

    @property
    def label(self) -> str:
        """For titles."""
        ways = None if self.has_own_ways else self.ways
        return shape_label(ways, self.shots if self.varying is None else None)

    @property
    def has_own_ways(self) -> bool:
        """Whether its number of classes is drawn for each episode."""
        return self.varying is not None and not self.varying.in_sequence

    @property
    def fewest_ways(self) -> int:
        """Of an episode."""
        return self.ways if self.varying is None else self.varying.min_ways

    @property
    def query_size(self) -> int:
        """Most examples to predict in an episode: N * Q."""
        return self.ways * self.queries


def shape_label(ways: int | None, shots: int | None) -> str:
    """``5-way 1-shot``; None: they vary from episode to episode. In sequences shots vary alone."""
    if ways is None:
        return "varying ways and shots"
    if shots is None:
        return f"{ways}-way sequences"
    return f"{ways}-way {shots}-shot"


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """All that determines one episode: the same spec gives the same episode on any machine."""

    split: Split
    index: int
    seed: int
    shape: EpisodeShape
    shape_index: int | None = None
    """where the shape varies: tasks with the same ``shape_index`` have the same number of classes
    and of support examples, so they can be stacked; None: the episode draws its own"""

    @property
    def draws_shape(self) -> bool:
        """Whether the episode has its own number of classes and of support examples."""
        return self.shape.varying is not None and self.shape_index is None


@dataclass(frozen=True, kw_only=True)
class BatchSpec:
    """All that determines one mini-batch over the classes of a split."""

    split: Split
    index: int
    seed: int
    size: int
