from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from metaray.platform.compare.paired import differences, estimate, holm

RNG = np.random.default_rng(0)
A = {0: RNG.normal(0.8, 0.1, 40), 1: RNG.normal(0.82, 0.1, 40), 2: RNG.normal(0.79, 0.1, 40)}
B = {seed: values - 0.03 + RNG.normal(0, 0.05, 40) for seed, values in A.items()}
C = {seed: values - 0.01 + RNG.normal(0, 0.05, 40) for seed, values in A.items()}


def test_an_estimate_by_hand() -> None:
    found = estimate({0: np.array([0.0, 1.0]), 1: np.array([1.0, 1.0])})
    assert found.mean == 0.75
    # s = 0.5 over four episodes, t(3) = 3.182446; seeds' means 0.5 and 1, t(1) = 12.7062
    assert found.ci95 == pytest.approx(3.182446 * 0.5 / 2, rel=1e-6)
    assert found.seed_sd == pytest.approx(0.125**0.5)
    assert found.ci95_seeds == pytest.approx(12.7062 * 0.125**0.5 / 2**0.5, rel=1e-5)


def test_one_seed_says_nothing_about_seeds() -> None:
    found = estimate({3: np.array([0.2, 0.4, 0.9])})
    assert found.seed_sd is None
    assert found.ci95_seeds is None


def test_differences_are_those_of_scipy_corrected_by_holm() -> None:
    found = differences({"a": A, "b": B, "c": C}, "a")
    assert found.keys() == {"b", "c"}
    pooled = {
        k: [np.concatenate(list(x.values())) for x in (v, A)]
        for k, v in zip("bc", (B, C), strict=True)
    }
    means = {
        k: [[x.mean() for x in v.values()] for v in (w, A)]
        for k, w in zip("bc", (B, C), strict=True)
    }
    for key, raw in {
        "p_t": [stats.ttest_rel(*pooled[k]).pvalue for k in "bc"],
        "p_wilcoxon": [stats.wilcoxon(*pooled[k]).pvalue for k in "bc"],
        "p_seeds": [stats.ttest_rel(*means[k]).pvalue for k in "bc"],
    }.items():
        assert [getattr(found[k], key) for k in "bc"] == pytest.approx(holm(raw), rel=1e-9), key
    interval = stats.ttest_rel(*pooled["b"]).confidence_interval(0.95)
    assert found["b"].mean - found["b"].ci95 == pytest.approx(interval.low)
    assert found["b"].mean + found["b"].ci95 == pytest.approx(interval.high)


def test_pairing_is_what_makes_a_small_difference_sure() -> None:
    paired = differences({"a": A, "b": B}, "a")["b"]
    shuffled = {seed: RNG.permutation(values) for seed, values in B.items()}
    assert paired.ci95 < 0.5 * differences({"a": A, "b": shuffled}, "a")["b"].ci95


def test_only_seeds_that_both_have_are_paired() -> None:
    found = differences({"a": A, "b": {1: B[1]}, "c": {9: C[0]}}, "a")
    assert found.keys() == {"b"}
    assert (found["b"].seeds, found["b"].p_seeds) == (1, None)
    assert found["b"].mean == pytest.approx((B[1] - A[1]).mean())


def test_no_spread_is_no_division_by_zero() -> None:
    ones = {0: np.ones(5), 1: np.ones(5)}
    same = differences({"a": ones, "b": ones}, "a")["b"]
    assert (same.mean, same.p_t, same.p_wilcoxon, same.p_seeds) == (0.0, 1.0, 1.0, 1.0)
    less = differences({"a": ones, "b": {0: np.zeros(5), 1: np.zeros(5)}}, "a")["b"]
    assert (less.mean, less.p_t, less.p_seeds) == (-1.0, 0.0, 0.0)


def test_holm_by_hand() -> None:
    # 4 * 0.005, 3 * 0.01, 2 * 0.03, then 0.04 may not be below the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
