"""What a sweep may vary: a search space maps config paths such as ``train.meta_lr`` to ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Option: TypeAlias = int | float | str | bool | None


@dataclass(frozen=True, kw_only=True)
class _Conditional:
    when: Mapping[str, Option] = field(default_factory=dict)
    """searched only where these settings have these values: ``{"train.schedule": "step"}``"""

    def is_active(self, settings: Mapping[str, Option]) -> bool:
        """Whether ``settings``, by path, meet the condition.

        >>> Int(1, 5, when={"train.schedule": "step"}).is_active({"train.schedule": "cosine"})
        False
        """
        return all(path in settings and settings[path] == v for path, v in self.when.items())


@dataclass(frozen=True)
class Float(_Conditional):
    """A real number between two ends, both included.

    >>> Float(1e-4, 1e-2, log=True).ends
    (0.0001, 0.01)
    """

    low: float
    high: float
    log: bool = False
    """search the exponent: for settings whose size is unknown"""

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.log)

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return self.low, self.high

    def holds(self, value: Option) -> bool:
        """Whether ``value`` is in the range."""
        return _is_number(value) and self.low <= value <= self.high  # type: ignore[operator]


@dataclass(frozen=True)
class Int(_Conditional):
    """A whole number between two ends, both included."""

    low: int
    high: int
    log: bool = False
    """search the exponent"""

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.log)

    @property
    def ends(self) -> tuple[int, int]:
        """The smallest and the largest value."""
        return self.low, self.high

    def holds(self, value: Option) -> bool:
        """Whether ``value`` is in the range."""
        return _is_number(value) and self.low <= value <= self.high  # type: ignore[operator]


@dataclass(frozen=True)
class Choice(_Conditional):
    """One of a few values."""

    options: tuple[Option, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.options, tuple | list):
            raise ValueError(f"options = {self.options!r} is no list: write [..., ...]")
        if len(set(self.options)) < max(2, len(self.options)):
            raise ValueError(f"a choice needs two or more different options, got {self.options}")

    @property
    def ends(self) -> tuple[Option, ...]:
        """All options: each of them is an end of the range."""
        return self.options

    def holds(self, value: Option) -> bool:
        """Whether ``value`` is an option."""
        return value in self.options


Dimension: TypeAlias = Float | Int | Choice
Space: TypeAlias = dict[str, Dimension]


def check_conditions(space: Space) -> None:
    """A condition can look only at what is known when it is asked.

    Raises:
        ValueError: a dimension depends on itself or on one that stands after it.
    """
    order = list(space)
    for position, (path, dimension) in enumerate(space.items()):
        for key in dimension.when:
            if key in space and order.index(key) >= position:
                raise ValueError(f"{path} depends on {key}, which must stand before it")


def _is_number(value: Option) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_types(low: object, high: object, log: object) -> None:
    """Text compares as text: "5" is above "10"."""
    for name, value in (("low", low), ("high", high)):
        if isinstance(value, str):
            raise ValueError(f'{name} = "{value}" is text, not a number: write it without quotes')
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} = {value} is not a number: write a number")
    if not isinstance(log, bool):
        raise ValueError(f"log = {log!r} is not a truth value: write true or false, without quotes")


def _check_range(low: float, high: float, log: bool) -> None:
    _check_types(low, high, log)
    if not low < high:
        raise ValueError(f"a range goes from low to high, got {low} to {high}")
    if log and low <= 0:
        raise ValueError(f"a logarithmic range starts above zero, got {low}")
