"""Which examples to label: typical ones of many clusters, or random ones.

TypiClust (Hacohen, Dekel & Weinshall, "Active Learning on a Budget: Opposite Strategies Suit High
and Low Budgets", ICML 2022, arXiv 2202.02794, section 3.2): features of length one are clustered by
k-means into as many clusters as there will be labels. Of each of the largest clusters in which
nothing has a label, the most typical example is chosen: the one whose mean distance to its 20
nearest neighbours in the cluster is smallest.

Deviations: the paper has at most 500 clusters and then chooses several of each; here every label
has a cluster. It leaves out clusters of less than 5 examples; here they come last.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaray.algorithms.transfer.nearest_centroid import unit_rows

_NEIGHBOURS = 20

Array = NDArray[Any]


def typical_examples(
    features: Array, budget: int, chosen: Collection[int] = (), seed: int = 0
) -> list[int]:
    """``budget`` rows of ``features``, the most useful first.

    Args:
        features: ``[n, F]``.
        budget: how many, at most n without those that are chosen.
        chosen: rows that have a label already, or will have one.
        seed: of the clusters.
    """
    from sklearn.cluster import KMeans

    x = unit_rows(features)
    clusters = KMeans(budget + len(chosen), n_init=1, random_state=seed).fit(x).labels_
    covered = {int(clusters[row]) for row in chosen}
    sizes = np.bincount(clusters, minlength=budget + len(chosen))
    order = [int(c) for c in np.argsort(-sizes, kind="stable") if c not in covered and sizes[c]]
    found = [_most_typical(x, np.flatnonzero(clusters == c)) for c in order[:budget]]
    # equal examples leave clusters empty: what is missing is taken at random
    return found + random_examples(len(x), budget - len(found), {*chosen, *found}, seed)


def random_examples(
    count: int, budget: int, chosen: Collection[int] = (), seed: int = 0
) -> list[int]:
    """``budget`` of ``count`` rows, all of which are equally likely but for those ``chosen``."""
    rows = [row for row in range(count) if row not in chosen]
    drawn = np.random.default_rng(seed).choice(len(rows), budget, replace=False)
    return [rows[i] for i in drawn.tolist()]


def _most_typical(x: Array, rows: Array) -> int:
    """The one of ``rows`` that lies closest to its neighbours; the first where several do."""
    from sklearn.neighbors import NearestNeighbors

    if len(rows) < 3:
        return int(rows[0])
    neighbours = min(_NEIGHBOURS, len(rows) - 1)
    distances, _ = NearestNeighbors(n_neighbors=neighbours).fit(x[rows]).kneighbors()
    return int(rows[distances.mean(1).argmin()])
