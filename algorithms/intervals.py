"""Confidence intervals."""

from __future__ import annotations


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927); inside [0, 1] and good for all but tiny sets.

    >>> low, high = wilson_interval(0, 10)
    >>> f"{low:.4f} to {high:.4f}"
    '0.0000 to 0.2775'
    """
    from scipy.stats import binomtest  # takes two seconds to import

    interval = binomtest(right, total).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)
