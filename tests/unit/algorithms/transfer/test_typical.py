"""Which examples are chosen for labelling."""

from __future__ import annotations

import numpy as np
import pytest

from metaray.algorithms.transfer.typical import random_examples, typical_examples


@pytest.fixture
def groups() -> np.ndarray:
    """Four directions with 40, 30, 20 and 10 vectors around each; the first of each is its own."""
    rng = np.random.default_rng(0)
    rows = []
    for direction, size in enumerate((40, 30, 20, 10)):
        centre = np.eye(8)[direction]
        rows += [centre, *(centre + 0.1 * rng.normal(size=(size - 1, 8)))]
    return np.array(rows)


def test_each_cluster_gives_its_most_typical_example_and_the_largest_comes_first(
    groups: np.ndarray,
) -> None:
    assert typical_examples(groups, 4) == [0, 40, 70, 90]


def test_clusters_with_a_label_give_none(groups: np.ndarray) -> None:
    found = typical_examples(groups, 2, chosen=[5, 75])
    assert {np.searchsorted([40, 70, 90], row, side="right") for row in found} == {1, 3}


def test_the_length_of_features_does_not_matter(groups: np.ndarray) -> None:
    lengths = np.random.default_rng(1).uniform(0.1, 10, size=(len(groups), 1))
    assert typical_examples(groups * lengths, 4) == typical_examples(groups, 4)


def test_equal_examples_are_filled_up_at_random() -> None:
    with pytest.warns(match="distinct clusters"):
        found = typical_examples(np.ones((6, 3)), 4, chosen=[2])
    assert len(set(found)) == 4
    assert 2 not in found


def test_random_examples_leave_out_what_is_chosen_and_follow_the_seed() -> None:
    found = random_examples(10, 8, chosen=[3, 4], seed=1)
    assert sorted(found) == [0, 1, 2, 5, 6, 7, 8, 9]
    assert found == random_examples(10, 8, chosen=[3, 4], seed=1)
    assert found != random_examples(10, 8, chosen=[3, 4], seed=2)
