"""Confidence intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Array = NDArray[np.float64]


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927); inside [0, 1] and good for all but tiny sets.

    >>> low, high = wilson_interval(0, 10)
    >>> f"{low:.4f} to {high:.4f}"
    '0.0000 to 0.2775'
    """
    from scipy.stats import binomtest  # takes two seconds to import

    interval = binomtest(right, total).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def mean_and_ci95(values: NDArray[Any]) -> tuple[Array, Array]:
    """Mean over episodes (first axis), and half the width of its 95 % confidence interval.

    ``t * s / sqrt(E)``: s is the sample standard deviation over episodes, which are independent
    draws while queries of one episode are not, and t the 97.5 % quantile of Student's
    distribution with E - 1 degrees of freedom (1.96 for many episodes).
    """
    n = len(values)
    if n < 2:
        raise ValueError(f"an interval needs two episodes or more, got {n}")
    half_width = stdtrit(n - 1, 0.975) * values.std(0, ddof=1) / np.sqrt(n)
    return np.asarray(values.mean(0), np.float64), np.asarray(half_width, np.float64)
