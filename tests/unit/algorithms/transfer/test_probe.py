"""k-NN, linear probe and nearest centroid on features that are known."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from metaray.algorithms.errors import InputError
from metaray.algorithms.transfer.nearest_centroid import nearest_centroid
from metaray.algorithms.transfer.probe import knn_probe, linear_probe


def clusters(
    size: int, spread: float, seed: int, classes: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    centres = np.random.default_rng(99).standard_normal((classes, 6))
    y = np.arange(size) % classes
    return centres[y] + spread * np.random.default_rng(seed).standard_normal((size, 6)), y


def knn_by_hand(
    train_x: np.ndarray, train_y: np.ndarray, x: np.ndarray, k: int, temperature: float
) -> int:
    cosines = [float(t @ x / np.linalg.norm(t) / np.linalg.norm(x)) for t in train_x]
    votes = dict.fromkeys(np.unique(train_y), 0.0)
    for i in sorted(range(len(cosines)), key=lambda i: -cosines[i])[:k]:
        votes[train_y[i]] += exp(cosines[i] / temperature)
    return max(votes, key=votes.__getitem__)


@pytest.mark.parametrize("k", [1, 7, 40])
def test_the_nearest_vote_by_similarity(k: int) -> None:
    (train_x, train_y), (test_x, test_y) = clusters(40, 1.5, 0), clusters(60, 1.5, 1)
    predicted = [knn_by_hand(train_x, train_y, x, k, 0.5) for x in test_x]
    expected = np.mean(np.array(predicted) == test_y)
    assert knn_probe(train_x, train_y, test_x, test_y, k, 0.5).value == expected


@pytest.mark.parametrize("k", [5, 200])
def test_the_vote_is_that_of_scikit_learn(k: int) -> None:
    (train_x, train_y), (test_x, test_y) = clusters(300, 2.5, 0), clusters(200, 2.5, 1)

    def weights(distance: np.ndarray) -> np.ndarray:
        return np.exp((1 - distance) / 0.07)

    theirs = KNeighborsClassifier(k, metric="cosine", weights=weights).fit(train_x, train_y)
    accuracy = theirs.score(test_x, test_y)
    assert 0.3 < accuracy < 0.95
    assert knn_probe(train_x, train_y, test_x, test_y, k).value == accuracy


def test_fewer_training_images_than_neighbours_all_vote() -> None:
    (train_x, train_y), (test_x, test_y) = clusters(12, 0.1, 0), clusters(600, 0.1, 1)
    found = knn_probe(train_x, train_y + 10, test_x, test_y + 10)
    assert found.value == 1.0
    assert found.num_images == 600


def test_the_linear_probe_finds_what_a_line_can_separate() -> None:
    (train_x, train_y), (test_x, test_y) = clusters(200, 0.2, 0), clusters(100, 0.2, 1)
    scale = np.array([1e-4, 1, 1e4, 1, 1, 1])  # features are standardised
    assert linear_probe(train_x * scale, train_y, test_x * scale, test_y).value > 0.95
    shuffled = np.random.default_rng(0).permutation(train_y)
    assert linear_probe(train_x, shuffled, test_x, test_y).value < 0.6


def test_the_linear_probe_takes_float32_and_constant_features() -> None:
    x, y = clusters(40, 0.2, 0)
    x[:, 0] = 3
    assert linear_probe(x.astype(np.float32), y, x.astype(np.float32), y).value > 0.9


def test_the_interval_is_wilsons() -> None:
    (train_x, train_y), (test_x, test_y) = clusters(40, 2.0, 0), clusters(50, 2.0, 1)
    found = linear_probe(train_x, train_y, test_x, test_y)
    n, p, z = 50, found.value, 1.959964
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert found.low == pytest.approx(centre - half, abs=1e-6)
    assert found.high == pytest.approx(centre + half, abs=1e-6)


def test_nearest_centroid_is_right_on_clusters_and_at_chance_on_noise() -> None:
    (train_x, train_y), (test_x, test_y) = (
        clusters(n, 0.1, s, classes=8) for n, s in ((40, 0), (80, 1))
    )
    assert (nearest_centroid(train_x, train_y, test_x) == test_y).mean() > 0.95
    noise = np.random.default_rng(0).standard_normal((4000, 6))
    found = nearest_centroid(noise[:400], np.arange(400) % 5, noise[400:])
    assert (found == np.arange(3600) % 5).mean() == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("probe", [knn_probe, linear_probe])
def test_bad_features_are_refused(probe: object) -> None:
    x, y = clusters(20, 0.1, 0)
    with pytest.raises(InputError, match="training features with a label each, got 20"):
        probe(x, y[:3], x, y)  # type: ignore[operator]
    with pytest.raises(InputError, match="test features with a label each, got 0"):
        probe(x, y, x[:0], y[:0])  # type: ignore[operator]
    broken = x.copy()
    broken[0, 0] = np.nan
    with pytest.raises(InputError, match="the test features are infinite or NaN"):
        probe(x, y, broken, y)  # type: ignore[operator]


def test_too_few_classes_are_refused() -> None:
    x, y = clusters(20, 0.1, 0)
    with pytest.raises(InputError, match="two classes or more, got label 7 alone"):
        linear_probe(x, np.full(20, 7), x, y)
