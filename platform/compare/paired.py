"""How sure a comparison is: intervals, and tests of differences on the same episodes.

Two questions are kept apart. *Over episodes*: is this trained model better than that one? All
episodes of all seeds count, and what training would give under another seed is left out. *Over
seeds*: is the method better, when it is trained again? Each seed then counts as one observation, of
which there are few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from metaray.algorithms.intervals import mean_and_ci95

Array = NDArray[np.float64]
Scores = Mapping[int, Array]
"""The score of every test episode ``[E]``, by seed."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean score; ``ci95`` are half-widths."""

    mean: float
    ci95: float
    """over the episodes of all seeds together, for these trained models"""
    seed_sd: float | None
    """standard deviation of the seeds' means; None for a single seed"""
    ci95_seeds: float | None
    """over the seeds' means, for the method trained again (Student's t); None for a single seed"""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A mean difference to the reference on the same episodes, and its p-values.

    A p-value has been corrected by Holm's method for the number of entries compared.
    """

    mean: float
    ci95: float
    """over the episodes of all seeds together; not corrected"""
    p_t: float
    """paired t-test over episodes"""
    p_wilcoxon: float
    """Wilcoxon's signed-rank test over episodes: no assumption of normal differences"""
    p_seeds: float | None
    """paired t-test over the seeds' means; None with a single seed in common"""
    seeds: int
    """seeds that both have"""


def estimate(scores: Scores) -> Estimate:
    """Of one entry."""
    mean, ci95 = mean_and_ci95(np.concatenate(list(scores.values())))
    means = np.array([values.mean() for values in scores.values()])
    several = len(means) > 1
    return Estimate(
        mean=float(mean),
        ci95=float(ci95),
        seed_sd=float(means.std(ddof=1)) if several else None,
        ci95_seeds=float(mean_and_ci95(means)[1]) if several else None,
    )


def differences(scores: Mapping[str, Scores], reference: str) -> dict[str, Difference]:
    """Of every other entry that has a seed in common with ``reference``; entry minus reference.

    Scores of one seed belong to the same episodes, in the same order.
    """
    own = scores[reference]
    found: dict[str, dict[str, Any]] = {}
    for name, others in scores.items():
        seeds = [seed for seed in others if seed in own]
        if name == reference or not seeds:
            continue
        by_seed = [others[seed] - own[seed] for seed in seeds]
        pooled = np.concatenate(by_seed)
        mean, ci95 = mean_and_ci95(pooled)
        found[name] = {
            "mean": float(mean),
            "ci95": float(ci95),
            "p_t": _t_test(pooled),
            "p_wilcoxon": _wilcoxon(pooled),
            "p_seeds": _t_test(np.array([d.mean() for d in by_seed])) if len(seeds) > 1 else None,
            "seeds": len(seeds),
        }
    for key in ("p_t", "p_wilcoxon", "p_seeds"):
        known = [name for name, figures in found.items() if figures[key] is not None]
        corrected = holm([found[name][key] for name in known])
        for name, p in zip(known, corrected, strict=True):
            found[name][key] = p
    return {name: Difference(**figures) for name, figures in found.items()}


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm, Scandinavian Journal of Statistics 6, 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p)
    scaled = [(len(p) - rank) * p[index] for rank, index in enumerate(order)]
    raised = np.minimum(np.maximum.accumulate(np.array(scaled)), 1.0) if len(p) else np.array([])
    corrected = np.empty(len(p))
    corrected[order] = raised
    return [float(value) for value in corrected]


def _t_test(differences: Array) -> float:
    """Whether the mean is 0. Without any spread it is certain."""
    if np.ptp(differences) == 0:
        return 1.0 if differences[0] == 0 else 0.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def _wilcoxon(differences: Array) -> float:
    """Whether the median is 0; episodes without a difference are left out, as Wilcoxon did."""
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)
