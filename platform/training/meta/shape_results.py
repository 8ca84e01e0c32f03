"""What a meta-test says by ways and by shots, where these vary from episode to episode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaray.algorithms.intervals import mean_and_ci95
from metaray.platform.training.meta.metrics import MetaTest

WAYS = (2, 5, 10, 20, 30, 40, 60, 100)
"""where bins of classes begin"""
SHOTS = (1, 2, 3, 5, 10, 20, 50, 100)
"""where bins of shots begin"""

Array = NDArray[Any]


def shape_results(test: MetaTest, in_sequence: bool = False) -> dict[str, Any]:
    """The keys that a summary has of episodes whose shapes differ; none where they do not.

    ``by_ways`` has the accuracy of the episodes with so many classes; ``by_shots`` that of the
    queries of classes with so many support examples, as a mean over the episodes that have such
    classes. Each is a list of bins ``from`` .. ``to``, both included, with the number of
    ``episodes`` and ``ci95``, None of one episode. ``chance`` is the accuracy of guessing.

    In a sequence all have the same number of classes, which is left out. Each number of shots has a
    bin, and each query counts the same: the bin of k - 1 shots has the accuracy on the k-th
    instance of a class (``tasks/varying.py``).
    """
    if test.shots is None or test.labels is None or test.predicted is None:
        return {}
    pairs = zip(test.predicted, test.labels, strict=True)
    hits = [predicted == labels for predicted, labels in pairs]
    by_query = [shots[labels] for shots, labels in zip(test.shots, test.labels, strict=True)]
    most = max(int(shots.max()) for shots in by_query)
    starts = range(most + 1) if in_sequence else SHOTS
    by_ways = [np.full(len(hit), len(shots)) for hit, shots in zip(hits, test.shots, strict=True)]
    return {
        "chance": float(np.mean([1 / len(shots) for shots in test.shots])),
        "by_ways": [] if in_sequence else _binned(WAYS, by_ways, hits),
        "by_shots": _binned(starts, by_query, hits, pooled=in_sequence),
    }


def _binned(
    starts: Sequence[int],
    values: Sequence[Array],
    hits: Sequence[Array],
    pooled: bool = False,
) -> list[dict[str, Any]]:
    """Bins by ``values`` ``[Q]`` of the queries of each episode; ``hits`` says which are right.

    ``pooled`` counts queries alike, and not episodes; the interval is then that of a ratio.
    """
    most = max(int(value.max()) for value in values)
    rows = []
    for first, after in zip(starts, [*starts[1:], max(most, starts[-1]) + 1], strict=True):
        inside = [(first <= value) & (value < after) for value in values]
        found = [hit[chosen] for hit, chosen in zip(hits, inside, strict=True) if chosen.any()]
        if found:
            right, asked = (np.array([f(hit) for hit in found]) for f in (np.sum, len))
            scores = right / asked
            if pooled:
                share = right.sum() / asked.sum()
                scores = share + (right - share * asked) / asked.mean()
            interval = float(mean_and_ci95(scores)[1]) if len(scores) > 1 else None
            rows.append(
                {
                    "from": first,
                    "to": after - 1,
                    "episodes": len(scores),
                    "accuracy": float(scores.mean()),
                    "ci95": interval,
                }
            )
    return rows
