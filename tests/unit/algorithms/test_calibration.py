"""Temperature and threshold, against what is known and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from metaray.algorithms.calibration import (
    SCORES,
    Anchors,
    best_threshold,
    fit_temperature,
    rates_at,
    separation,
)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 7.0])
def test_the_temperature_of_drawn_labels_is_found(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (20_000, 5))
    p = softmax(logits, axis=-1)
    labels = (p.cumsum(-1) < rng.uniform(size=(len(p), 1))).sum(-1)
    assert fit_temperature(temperature * logits, labels) == pytest.approx(temperature, rel=0.05)


def test_a_method_that_is_always_right_may_be_as_sure_as_can_be() -> None:
    logits = np.eye(4)[np.arange(40) % 4]
    assert fit_temperature(logits, np.arange(40) % 4) == pytest.approx(0.075, abs=0.025)


def test_separation_is_the_area_under_the_roc_curve() -> None:
    rng = np.random.default_rng(1)
    known, unknown = rng.normal(1, 1, 300).round(1), rng.normal(0, 1, 200).round(1)
    truth = np.repeat([1, 0], [300, 200])
    expected = roc_auc_score(truth, np.concatenate([known, unknown]))
    assert separation(known, unknown) == pytest.approx(expected)


def test_the_threshold_lies_between_what_it_parts() -> None:
    known, unknown = np.array([3.0, 4.0, 5.0]), np.array([1.0, 2.0])
    threshold = best_threshold(known, unknown)
    assert threshold == 2.5
    assert rates_at(threshold, known, unknown) == (0.0, 0.0)
    assert rates_at(3.5, known, unknown) == (pytest.approx(1 / 3), 0.0)
    assert rates_at(0.0, known, unknown) == (0.0, 1.0)


def test_no_threshold_has_a_smaller_sum_of_rates() -> None:
    rng = np.random.default_rng(2)
    known, unknown = rng.normal(1, 1, 50), rng.normal(0, 1, 60)
    best = sum(rates_at(best_threshold(known, unknown), known, unknown))
    assert all(best <= sum(rates_at(t, known, unknown)) + 1e-12 for t in np.linspace(-4, 5, 200))


def test_scores_of_logits() -> None:
    support = np.array([[-1.0, -9.0], [-7.0, -3.0]])
    anchors = Anchors.of(support, np.array([0, 1]))
    assert anchors == (-2.0, -8.0)
    logits = np.array([[-8.0, -8.0], [-2.0, -9.0], [-5.0, -6.0]])
    assert SCORES["likeness"](logits, anchors) == pytest.approx([0.0, 1.0, 0.5])
    p = [0.5, 1 / (1 + np.exp(-7)), 1 / (1 + np.exp(-1))]
    assert SCORES["probability"](logits, anchors) == pytest.approx(p)


def test_likeness_does_not_depend_on_the_scale_of_logits() -> None:
    rng = np.random.default_rng(3)
    support, labels, queries = rng.normal(size=(6, 3)), np.arange(6) % 3, rng.normal(size=(9, 3))
    support[np.arange(6), labels] += 5
    one, other = (
        SCORES["likeness"](f * queries + 7, Anchors.of(f * support + 7, labels)) for f in (1, 30)
    )
    assert one == pytest.approx(other)
