"""How sure a classifier may be: temperature, and the score below which it refuses.

* Temperature scaling: Guo, Pleiss, Sun & Weinberger, "On Calibration of Modern Neural Networks",
  ICML 2017 (arXiv 1706.04599), section 4.2: logits are divided by one number, which minimises the
  negative log-likelihood on held-out examples. The predicted class does not change.
* Refusing: a query of none of the classes has a low score. As scores serve the largest probability
  (Hendrycks & Gimpel, ICLR 2017, arXiv 1610.02136), and the largest logit (Hendrycks et al., ICML
  2022, arXiv 1911.11132) between what the support images have for their own class and for the
  others, so that a threshold holds for tasks of other scale; which of them tells classes apart
  better depends on the method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

Array = NDArray[np.float64]
Anything = NDArray[Any]
Score = Literal["probability", "likeness"]

TEMPERATURES = (0.01, 100.0)
"""the lowest and the highest that are tried"""
_TINY = 1e-6  # between anchors, where all support images are alike
_TOWARDS_1 = 1e-6  # weight of the squared logarithm


def fit_temperature(logits: Anything, labels: Anything) -> float:
    """The number by which to divide logits ``[n, N]`` for labels ``[n]``.

    Between 0.01 and 100, and as near to 1 as costs next to nothing: where all predictions are
    right, it would be 0 otherwise.
    """
    logits = logits.astype(np.float64)
    picked = labels[:, None].astype(np.int64)

    def loss(log_temperature: float) -> float:
        log_p = log_softmax(logits / np.exp(log_temperature), axis=-1)
        likelihood = np.take_along_axis(log_p, picked, axis=-1).mean()
        return float(_TOWARDS_1 * log_temperature**2 - likelihood)

    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


class Anchors(NamedTuple):
    """The logits of a support set, by which those of queries are scaled."""

    own: float
    """mean over the support images, for their own class"""
    other: float
    """mean over the support images of the largest for another class"""

    @classmethod
    def of(cls, logits: Anything, labels: Anything) -> Anchors:
        """Of the logits ``[S, N]`` of support images with ``labels`` ``[S]``."""
        logits = logits.astype(np.float64)
        is_own = labels[:, None] == np.arange(logits.shape[-1])
        others = np.where(is_own, -np.inf, logits).max(-1)
        return cls(float(logits[is_own].mean()), float(others.mean()))


def largest_probability(logits: Anything, anchors: Anchors) -> Array:
    """Of ``[n, N]``: ``[n]``."""
    return np.asarray(softmax(logits.astype(np.float64), axis=-1).max(-1))


def likeness(logits: Anything, anchors: Anchors) -> Array:
    """Of ``[n, N]``: ``[n]``; 1 as the support images for their own class, 0 as for another."""
    between = max(anchors.own - anchors.other, _TINY)
    return np.asarray((logits.max(-1).astype(np.float64) - anchors.other) / between)


SCORES: dict[Score, Callable[[Anything, Anchors], Array]] = {
    "probability": largest_probability,
    "likeness": likeness,
}
"""what a query is refused by; each takes logits that were divided by the temperature"""


class Rates(NamedTuple):
    """How often a threshold is wrong."""

    wrongly_refused: float
    """share of the queries of the classes whose score is below"""
    wrongly_accepted: float
    """share of the queries of none of the classes whose score is not below"""


def separation(known: Array, unknown: Array) -> float:
    """Chance that a query of the classes has a higher score than one of none: the area under the
    ROC curve, from 0 to 1; 0.5 where the score says nothing."""
    ranks = np.searchsorted(np.sort(unknown), known, side="left")
    ties = np.searchsorted(np.sort(unknown), known, side="right") - ranks
    return float((ranks + ties / 2).mean() / len(unknown))


def best_threshold(known: Array, unknown: Array) -> float:
    """The score at which the sum of both rates is lowest (Youden's index), the lowest of several.

    It lies half-way between two scores, so that rounding does not decide.
    """
    scores = np.unique(np.concatenate([known, unknown]))
    cuts = np.concatenate([scores[:1], (scores[1:] + scores[:-1]) / 2])
    refused = np.searchsorted(np.sort(known), cuts, side="left") / len(known)
    accepted = 1 - np.searchsorted(np.sort(unknown), cuts, side="left") / len(unknown)
    return float(cuts[np.argmin(refused + accepted)])


def rates_at(threshold: float, known: Array, unknown: Array) -> Rates:
    """Those of a threshold."""
    return Rates(float((known < threshold).mean()), float((unknown >= threshold).mean()))
