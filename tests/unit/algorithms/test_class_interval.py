"""The interval over classes: what it covers, against the truth of a simulation."""

from __future__ import annotations

import numpy as np
import pytest

from metaray.algorithms.class_interval import class_accuracies
from metaray.algorithms.intervals import mean_and_ci95


def simulated(
    rng: np.random.Generator, num_classes: int, episodes: int, ways: int = 3, queries: int = 5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits, classes and images ``[E, Q]``: each class, and each of its 20 images, has a chance."""
    hard = rng.normal(0.6, 0.15, num_classes)[:, None] + rng.normal(0, 0.1, (num_classes, 20))
    classes = np.stack([rng.permutation(num_classes)[:ways] for _ in range(episodes)])
    classes = np.repeat(classes, queries, axis=1)
    images = rng.integers(20, size=classes.shape)
    return rng.random(classes.shape) < hard.clip(0, 1)[classes, images], classes, images


def test_accuracies_of_classes_are_exact() -> None:
    hits = np.array([1, 0, 1, 1, 0, 0, 1])
    classes = np.array([0, 0, 1, 1, 2, 2, 2])
    found = class_accuracies(hits, classes, np.array([5, 5, 0, 1, 9, 8, 9]))
    np.testing.assert_allclose(found.accuracy, [1 / 2, 1, 1 / 3])
    assert found.queries.tolist() == [2, 2, 3]


@pytest.mark.parametrize("num_classes", [3, 12])
def test_it_covers_the_mean_of_all_classes(num_classes: int) -> None:
    """The interval over episodes does not: it shrinks while the classes stay the same."""
    rng = np.random.default_rng(0)
    over_classes = over_episodes = 0
    for _ in range(40):
        hits, classes, images = simulated(rng, num_classes, episodes=200)
        missed = abs(hits.mean() - 0.6)
        half = class_accuracies(hits.ravel(), classes.ravel(), images.ravel()).ci95
        assert half is not None
        over_classes += missed < half
        over_episodes += missed < mean_and_ci95(hits.mean(1))[1]
    assert over_classes >= 36  # 95 % are 38 of 40
    assert over_episodes < 30


def test_more_episodes_do_not_shrink_it_and_more_classes_do() -> None:
    def half(num_classes: int, episodes: int) -> float:
        parts = simulated(np.random.default_rng(3), num_classes, episodes)
        found = class_accuracies(*(part.ravel() for part in parts)).ci95
        assert found is not None
        return found

    assert half(5, 800) > 0.7 * half(5, 200)
    assert half(80, 200) < 0.5 * half(5, 200)


def test_it_is_the_same_every_time_and_one_class_has_none() -> None:
    parts = [part.ravel() for part in simulated(np.random.default_rng(5), 4, 20)]
    assert class_accuracies(*parts).ci95 == class_accuracies(*parts).ci95
    assert class_accuracies(np.ones(4), np.zeros(4, int), np.arange(4)).ci95 is None
