from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score, log_loss

from metaray.algorithms.errors import InputError
from metaray.algorithms.intervals import mean_and_ci95
from metaray.platform.training.meta.metrics import (
    Bin,
    MetaTest,
    accuracy_by_step,
    calibration_bins,
    expected_calibration_error,
    macro_f1,
    mse_by_step,
    negative_log_likelihood,
)

E, S, Q, N = 7, 3, 20, 4
Array = NDArray[Any]


@pytest.fixture(name="test_set")
def fixture_test_set() -> tuple[Array, Array]:
    """Logits [E, S, Q, N] that get better with the step, and labels [E, Q]."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, N, (E, Q))
    noise = rng.normal(0, 1, (E, S, Q, N))
    return noise + np.arange(S)[:, None, None] * np.eye(N)[labels][:, None], labels


def logits_of(p: list[float]) -> Array:
    return np.log(np.array(p))


def test_accuracy_counts_hits_of_each_step_and_episode() -> None:
    right, wrong = [3.0, 1.0], [1.0, 3.0]
    logits = np.array([[[right, wrong], [right, right]], [[wrong, wrong], [wrong, right]]])
    labels = np.zeros((2, 2), int)
    assert accuracy_by_step(logits, labels).tolist() == [[0.5, 1.0], [0.0, 0.5]]


def test_mse_is_the_mean_over_queries() -> None:
    outputs = np.array([[[[1.0], [2.0]], [[0.0], [5.0]]]])  # one episode, two steps
    targets = np.array([[[0.0], [5.0]]])
    assert mse_by_step(outputs, targets).tolist() == [[(1 + 9) / 2, 0.0]]


def test_macro_f1_is_scikit_learns_for_every_episode(test_set: tuple[Array, Array]) -> None:
    logits, labels = test_set
    predicted = logits[:, 1].argmax(-1)
    predicted[0] = 2  # an episode with one answer: some classes are never predicted
    expected = [
        f1_score(y, p, average="macro", labels=range(N), zero_division=0)
        for y, p in zip(labels, predicted, strict=True)
    ]
    assert macro_f1(predicted, labels, N) == pytest.approx(expected, abs=1e-12)


def test_negative_log_likelihood_is_scikit_learns(test_set: tuple[Array, Array]) -> None:
    logits, labels = test_set
    p = np.exp(logits[:, 2])
    p /= p.sum(-1, keepdims=True)
    expected = [log_loss(labels[e], p[e], labels=range(N)) for e in range(E)]
    assert negative_log_likelihood(logits[:, 2], labels) == pytest.approx(expected, rel=1e-12)


def test_negative_log_likelihood_of_huge_logits_is_finite() -> None:
    logits = np.array([[[0.0, 5000.0]]], np.float32)
    assert negative_log_likelihood(logits, np.array([[0]])).tolist() == [5000.0]


def test_calibration_error_by_hand() -> None:
    # ten bins: two predictions at 0.65 (one right), one at 0.95 (right), one at 0.55 (wrong)
    rows = [[0.65, 0.35], [0.65, 0.35], [0.95, 0.05], [0.45, 0.55]]
    logits = np.array([[logits_of(rows[0]), logits_of(rows[1])], [logits_of(r) for r in rows[2:]]])
    labels = np.array([[0, 1], [0, 0]])
    bins = calibration_bins(logits, labels, num_bins=10)
    assert [b.num_queries for b in bins] == [0, 0, 0, 0, 0, 1, 2, 0, 0, 1]
    assert bins[6].confidence == pytest.approx(0.65)
    assert bins[6].accuracy == 0.5
    assert bins[0] == Bin(None, None, 0)
    error = (1 * abs(0 - 0.55) + 2 * abs(0.5 - 0.65) + 1 * abs(1 - 0.95)) / 4
    assert expected_calibration_error(bins) == pytest.approx(error, rel=1e-12)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below() -> None:
    logits = np.array([[[0.0, 0.0], [1000.0, 0.0]]])  # confidences 1/2 and exactly 1
    bins = calibration_bins(logits, np.array([[0, 0]]), num_bins=4)
    assert [b.num_queries for b in bins] == [0, 1, 0, 1]


def test_interval_is_students() -> None:
    values = np.array([0.1, 0.4, 0.7, 0.8, 0.5])
    mean, half_width = mean_and_ci95(values)
    assert float(mean) == pytest.approx(0.5)
    # s = sqrt(0.30 / 4); the table's t for 4 degrees of freedom is 2.776
    assert float(half_width) == pytest.approx(2.776445 * np.sqrt(0.30 / 4) / np.sqrt(5), rel=1e-6)


def test_interval_covers_the_truth_in_95_of_100_cases() -> None:
    samples = np.random.default_rng(0).normal(3.0, 2.0, (6, 20_000))
    mean, half_width = mean_and_ci95(samples)
    assert np.mean(np.abs(mean - 3.0) < half_width) == pytest.approx(0.95, abs=0.005)


def test_one_episode_has_no_interval() -> None:
    with pytest.raises(ValueError, match="two episodes"):
        mean_and_ci95(np.array([0.5]))


def test_headline_of_a_classification(test_set: tuple[Array, Array]) -> None:
    logits, labels = test_set
    test = MetaTest.from_outputs("classification", logits, labels, [0, 1, 5])
    metrics = test.headline()
    last = (logits[:, -1].argmax(-1) == labels).mean(-1)
    assert metrics["accuracy"] == pytest.approx(last.mean())
    assert metrics["ci95"] == pytest.approx(float(mean_and_ci95(last)[1]))
    assert metrics["accuracy_by_step"][-1] == metrics["accuracy"]
    assert metrics["accuracy_by_step"][0] < metrics["accuracy"]
    assert len(metrics["ci95_by_step"]) == S
    assert metrics["reported_steps"] == [0, 1, 5]
    assert metrics["num_episodes"] == E
    assert sum(count for *_, count in metrics["calibration"]) == E * Q
    assert 0 < metrics["ece"] < 1
    assert "mse" not in metrics


def test_headline_of_a_regression() -> None:
    rng = np.random.default_rng(1)
    targets = rng.normal(0, 1, (E, Q, 1))
    outputs = targets[:, None] + np.array([2.0, 0.5]).reshape(1, 2, 1, 1)
    outputs[0, -1] += 1.0
    metrics = MetaTest.from_outputs("regression", outputs, targets, [0, 1]).headline()
    assert metrics["accuracy"] is None
    assert metrics["macro_f1"] is None
    assert metrics["mse_by_step"] == pytest.approx([4.0, (6 * 0.25 + 2.25) / 7])
    assert metrics["mse"] == metrics["loss"] == metrics["mse_by_step"][-1]
    assert metrics["ci95"] > 0
    assert "calibration" not in metrics


def test_table_has_a_row_per_episode(test_set: tuple[Array, Array]) -> None:
    logits, labels = test_set
    test = MetaTest.from_outputs("classification", logits, labels, range(S))
    baseline = MetaTest.from_outputs("classification", -logits, labels, range(S))
    rows = test.to_table(baseline).to_pylist()
    assert [row["episode"] for row in rows] == list(range(E))
    for e, row in enumerate(rows):
        assert row["accuracy"] == row["accuracy_by_step"][-1] == test.score_by_step[e, -1]
        assert row["baseline_accuracy"] == baseline.score_by_step[e, -1]
    assert "baseline_accuracy" not in test.to_table().column_names
    assert set(baseline.baseline_headline()) == {
        "baseline_accuracy",
        "baseline_ci95",
        "baseline_accuracy_by_step",
    }


def test_table_of_a_regression() -> None:
    targets = np.arange(6.0).reshape(2, 3, 1)
    test = MetaTest.from_outputs("regression", targets[:, None] + 2.0, targets, [0])
    assert test.to_table(test).to_pylist()[1] == {
        "episode": 1,
        "mse": 4.0,
        "loss": 4.0,
        "mse_by_step": [4.0],
        "baseline_mse": 4.0,
    }


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_prediction_that_is_not_finite_is_refused(
    bad: float, test_set: tuple[Array, Array]
) -> None:
    logits, labels = test_set
    logits[3, 1, 2, 0] = bad
    with pytest.raises(InputError, match=r"1 of 7 test episodes, the first of them number 3"):
        MetaTest.from_outputs("classification", logits, labels, range(S))


def test_the_number_of_steps_must_fit(test_set: tuple[Array, Array]) -> None:
    with pytest.raises(ValueError, match=r"2 steps, but outputs are \(7, 3, 20, 4\)"):
        MetaTest.from_outputs("classification", *test_set, [0, 1])
