"""k-NN, linear probe and nearest centroid on features that are known."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest

from metaray.algorithms.errors import InputError
from metaray.algorithms.transfer.probe import centroid_accuracies, knn_probe, linear_probe


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


def test_fewer_training_pictures_than_neighbours_all_vote() -> None:
    (train_x, train_y), (test_x, test_y) = clusters(12, 0.1, 0), clusters(600, 0.1, 1)
    found = knn_probe(train_x, train_y + 10, test_x, test_y + 10)
    assert found.value == 1.0
    assert found.num_pictures == 600


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
    x, y = clusters(200, 0.1, 0, classes=8)
    near = centroid_accuracies(x, y, ways=5, shots=1, queries=10, num_episodes=20, seed=0)
    assert near.shape == (20,)
    assert near.mean() > 0.95
    noise = np.random.default_rng(0).standard_normal((200, 6))
    far = centroid_accuracies(noise, y, ways=5, shots=1, queries=10, num_episodes=200, seed=0)
    assert far.mean() == pytest.approx(0.2, abs=0.03)


def test_more_shots_help_and_a_seed_repeats_episodes() -> None:
    x, y = clusters(400, 1.2, 0, classes=8)

    def mean(shots: int, seed: int = 0) -> float:
        episodes = centroid_accuracies(x, y, 5, shots, queries=10, num_episodes=50, seed=seed)
        return float(episodes.mean())

    assert mean(10) > mean(1) + 0.1
    assert mean(1) == mean(1)
    assert mean(1) != mean(1, seed=1)


def test_support_and_queries_are_never_the_same_picture() -> None:
    y = np.repeat(np.arange(5), 4)
    x = np.eye(20)  # a picture is near to nothing but itself
    found = centroid_accuracies(x, y, ways=5, shots=2, queries=2, num_episodes=50, seed=0)
    assert found.max() <= 0.2  # all distances tie, and the first class is named


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
    with pytest.raises(InputError, match="4 classes have the 3 pictures of an episode"):
        centroid_accuracies(x, y, ways=5, shots=1, queries=2, num_episodes=1, seed=0)
