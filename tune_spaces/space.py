"""What a sweep may vary: a search space maps config paths such as ``train.meta_lr`` to ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Float:
    """A real number between two ends, both included.

    >>> Float(1e-4, 1e-2, log=True).ends
    (0.0001, 0.01)
    """

    low: float
    high: float
    log: bool = False
    """search the exponent: for settings whose size is unknown"""

    def __post_init__(self) -> None:
        _check_order(self.low, self.high)
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range starts above zero, got {self.low}")

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return self.low, self.high


@dataclass(frozen=True)
class Int:
    """A whole number between two ends, both included."""

    low: int
    high: int

    def __post_init__(self) -> None:
        _check_order(self.low, self.high)

    @property
    def ends(self) -> tuple[int, int]:
        """The smallest and the largest value."""
        return self.low, self.high


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    options: tuple[int | float | str, ...]

    def __post_init__(self) -> None:
        if len(set(self.options)) < max(2, len(self.options)):
            raise ValueError(f"a choice needs two or more different options, got {self.options}")

    @property
    def ends(self) -> tuple[int | float | str, ...]:
        """All options: each of them is an end of the range."""
        return self.options


Dimension: TypeAlias = Float | Int | Choice
Space: TypeAlias = dict[str, Dimension]


def _check_order(low: float, high: float) -> None:
    if not low < high:
        raise ValueError(f"a range goes from low to high, got {low} to {high}")
