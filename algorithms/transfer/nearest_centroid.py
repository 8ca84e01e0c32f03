"""The nearest class mean: what features are worth before anything is trained on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def nearest_centroid(features: Array, labels: Array, queries: Array) -> Array:
    """The class of each of ``queries`` ``[m, F]``, int64 ``[m]``.

    Class means are those of ``features`` ``[n, F]``, at length one, with ``labels`` ``[n]``; the
    distance is Euclidean.
    """
    classes = np.unique(labels)
    unit, asked = unit_rows(features), unit_rows(queries)
    means = np.stack([unit[labels == c].mean(0) for c in classes])
    distance = np.square(means).sum(1) - 2 * asked @ means.T
    return np.asarray(classes[distance.argmin(1)], np.int64)


def unit_rows(x: Array) -> Array:
    """``[n, F]`` as float64, each row at length one; rows of zeros stay."""
    x = x.astype(np.float64)
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12))
