"""Episodes that are beginnings of a sequence, in which a class may have no example yet."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from metaray.algorithms.episode_shape import EpisodeShape, Varying
from metaray.algorithms.tasks.varying import draw_beginning, draw_support_size

WAYS, EACH = 3, 4
SHAPE = EpisodeShape(
    ways=WAYS,
    shots=EACH,
    queries=2,
    varying=Varying(
        min_ways=WAYS, max_support=WAYS * EACH, max_support_per_class=EACH, in_sequence=True
    ),
)


def test_a_class_with_k_examples_is_met_where_its_next_one_stands() -> None:
    """In a random order of N K examples the k-th of a class stands at k (N K + 1) / (K + 1)."""
    rng = np.random.default_rng(0)
    images = np.full(WAYS, EACH + SHAPE.queries)
    before: dict[int, list[int]] = defaultdict(list)
    for _ in range(20_000):
        size = draw_support_size(rng, SHAPE, images)
        counts = draw_beginning(rng, size, SHAPE)
        assert 1 <= size < WAYS * EACH
        assert counts.sum() == size
        assert counts.max() <= EACH
        for count in counts.tolist():
            before[count].append(size)
    assert set(before) == set(range(EACH + 1))
    for k in range(2, EACH + 1):
        expected = k * (WAYS * EACH + 1) / (EACH + 1) - 1
        error = np.std(before[k - 1]) / len(before[k - 1]) ** 0.5
        assert np.mean(before[k - 1]) == pytest.approx(expected, abs=5 * error)
        assert error < 0.03
