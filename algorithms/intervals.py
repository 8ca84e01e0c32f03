"""Confidence intervals."""

from __future__ import annotations

from math import sqrt

from scipy.special import ndtri


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927); inside [0, 1] and good for all but tiny sets.

    >>> low, high = wilson_interval(0, 10)
    >>> f"{low:.4f} to {high:.4f}"
    '0.0000 to 0.2775'
    """
    # As scipy.stats.binomtest, which takes two seconds to import
    share, z = right / total, float(ndtri(0.975))
    scale = 2 * (total + z**2)
    centre = (2 * total * share + z**2) / scale
    half = z / scale * sqrt(4 * total * share * (1 - share) + z**2)
    return (centre - half if right else 0.0), (centre + half if right < total else 1.0)
