"""An interval for classes that were not tested, beside the one over episodes.

Episodes draw the same classes and images again and again. So the interval over episodes says how
far the mean over *these* classes would move with more episodes, and shrinks with their number even
where three classes are all there is. This is the point of Lafargue et al., "Oops, I Sampled it
Again: Reinterpreting Confidence Intervals in Few-Shot Learning" (arXiv 2409.02850, 2024), who test
without replacement. Here the predictions of the usual test are resampled instead: classes with
replacement, and within each class its images.

The bootstrap's standard error is too small by sqrt((C - 1) / C) for C classes, and normal quantiles
are too small for few: both are corrected, the second by Student's distribution with C - 1 degrees
of freedom. What the other classes of an episode add is not resampled.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

_DRAWS = 1_000
_SEED = 0

Array = NDArray[Any]


class ClassAccuracies(NamedTuple):
    """How well each class was recognised, and what follows for classes in general."""

    accuracy: Array
    """share of the right queries of each class, ``[C]``"""
    queries: Array
    """number of its queries, ``[C]``"""
    ci95: float | None
    """half the width of the 95 % interval of the mean over classes; None of a single class"""


def class_accuracies(hits: Array, classes: Array, images: Array) -> ClassAccuracies:
    """Accuracies by class, and their interval.

    Args:
        hits: whether each query was right, ``[n]``.
        classes: the class of each query, 0 .. C - 1, each at least once, ``[n]``.
        images: which image of its class each query is, ``[n]``.

    >>> rng = np.random.default_rng(1)
    >>> classes = np.repeat(np.arange(3), 1000)
    >>> right = rng.random(3000) < np.array([0.9, 0.6, 0.3])[classes]
    >>> found = class_accuracies(right, classes, np.arange(3000))
    >>> found.accuracy.round(1), 0.6 < found.ci95 < 0.9
    (array([0.9, 0.6, 0.3]), True)
    """
    pairs, place = np.unique(np.stack([classes, images]), axis=1, return_inverse=True)
    place = place.ravel()
    right = np.bincount(place, hits)  # of each image
    asked = np.bincount(place).astype(np.float64)
    owner = pairs[0]
    totals, counts = np.bincount(owner, right), np.bincount(owner, asked)
    num = len(counts)
    if num < 2:
        return ClassAccuracies(totals / counts, counts, None)
    means = _resampled_means(owner, right, asked)
    scale = stdtrit(num - 1, 0.975) * np.sqrt(num / (num - 1))
    return ClassAccuracies(totals / counts, counts, float(scale * means.std(ddof=1)))


def _resampled_means(owner: Array, right: Array, asked: Array) -> Array:
    """The accuracy of each bootstrap draw of classes and of their images."""
    rng, num = np.random.default_rng(_SEED), int(owner.max()) + 1
    sizes = np.bincount(owner)
    starts = np.cumsum(sizes) - sizes  # images come sorted by class
    means = np.empty(_DRAWS)
    for draw in range(_DRAWS):
        drawn = rng.integers(num, size=num)
        lengths = sizes[drawn]
        first = np.repeat(starts[drawn], lengths)
        picked = first + rng.integers(np.repeat(lengths, lengths))
        means[draw] = right[picked].sum() / asked[picked].sum()
    return means
