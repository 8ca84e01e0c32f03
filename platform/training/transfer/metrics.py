"""The metrics of a test on labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from metaray.algorithms.intervals import wilson_interval
from metaray.platform.training.meta.metrics import calibration_bins, expected_calibration_error

Array = NDArray[Any]


def accuracy_metrics(predicted: Array, labels: Array) -> dict[str, Any]:
    """``accuracy``, its ``interval``, and ``ci95``, half the interval's width."""
    right = int((predicted == labels).sum())
    low, high = wilson_interval(right, len(labels))
    return {
        "accuracy": right / len(labels),
        "interval": [low, high],
        "ci95": (high - low) / 2,
        "num_examples": len(labels),
    }


def logit_metrics(logits: Array, labels: Array) -> dict[str, Any]:
    """``accuracy_metrics`` of the most likely classes, ``loss`` (negative log likelihood) and
    calibration."""
    log_p = log_softmax(logits.astype(np.float64), axis=-1)
    bins = calibration_bins(logits[None], labels[None])
    return {
        **accuracy_metrics(logits.argmax(-1), labels),
        "loss": float(-log_p[np.arange(len(labels)), labels].mean()),
        "ece": expected_calibration_error(bins),
        "calibration": [list(b) for b in bins],
    }


def most_predicted(predicted: Array, labels: Array, names: Sequence[str]) -> dict[str, Any]:
    """The class that is predicted most often: its share of predictions, and of labels."""
    place = int(np.bincount(predicted, minlength=len(names)).argmax())
    return {
        "name": names[place],
        "share": float((predicted == place).mean()),
        "label_share": float((labels == place).mean()),
    }


def confusion(predicted: Array, labels: Array, num_classes: int) -> list[list[int]]:
    """How often each class (row) was taken for each (column)."""
    pairs = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return [[int(n) for n in row] for row in pairs.reshape(num_classes, num_classes)]
