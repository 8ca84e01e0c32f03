"""Predictions for many pictures, a batch at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metaray.algorithms.errors import InputError
from metaray.platform.inference.adapted_model import BATCH, AdaptedModel
from metaray.platform.inference.folders import Found
from metaray.platform.inference.pictures import PictureFile

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What is predicted for one picture."""

    file: str
    """its name"""
    true_label: str
    """of its folder or list; empty where there is none"""
    probabilities: Array | None
    """of each class; None where it cannot be read"""
    refused: bool = False
    """whether it is of none of the classes"""
    error: str = ""
    """why it cannot be read"""
    x: Tensor | None = None
    """the input of the network"""

    @property
    def best(self) -> int:
        """The place of the most probable class."""
        assert self.probabilities is not None
        return int(self.probabilities.argmax())

    @property
    def probability(self) -> float:
        """Of that class."""
        assert self.probabilities is not None
        return float(self.probabilities.max())


def predictions(
    model: AdaptedModel, found: Found, done: Callable[[int], None] = lambda count: None
) -> Iterator[Prediction]:
    """One for each picture of ``found``, in order; those that cannot be read say why.

    ``done`` is told how many more are finished.
    """
    for first in range(0, len(found.pictures), BATCH):
        pictures = found.pictures[first : first + BATCH]
        labels = found.labels[first : first + BATCH]
        yield from _batch(model, pictures, labels)
        done(len(pictures))


def _batch(
    model: AdaptedModel, pictures: Sequence[PictureFile], labels: Sequence[str]
) -> Iterator[Prediction]:
    read: list[Tensor | str] = []
    for picture in pictures:
        try:
            read.append(model.reader.read_one(picture))
        except InputError as error:
            read.append(str(error))
    inputs = [x for x in read if isinstance(x, Tensor)]
    answers = iter(zip(*model.predict_inputs(torch.stack(inputs)), strict=True)) if inputs else None
    for picture, label, x in zip(pictures, labels, read, strict=True):
        if isinstance(x, str) or answers is None:
            yield Prediction(file=picture.name, true_label=label, probabilities=None, error=str(x))
            continue
        probabilities, refused = next(answers)
        yield Prediction(
            file=picture.name,
            true_label=label,
            probabilities=probabilities,
            refused=bool(refused),
            x=x,
        )


class Tally:
    """Counts predictions, and scores them where pictures have labels."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = list(classes)
        self.predicted: Counter[str] = Counter()
        self.unread: list[Prediction] = []
        self.refused = 0
        self.count = 0
        self._log_p: list[Array] = []
        self._truth: list[int] = []
        self._refused_known: list[bool] = []
        self._refused_unknown: list[bool] = []

    def add(self, one: Prediction) -> None:
        """The next prediction."""
        self.count += 1
        if one.probabilities is None:
            self.unread.append(one)
            return
        self.predicted[self.classes[one.best]] += 1
        self.refused += one.refused
        if one.true_label in self.classes:
            self._truth.append(self.classes.index(one.true_label))
            self._log_p.append(np.log(np.maximum(one.probabilities, 1e-300)).astype(np.float32))
            self._refused_known.append(one.refused)
        elif one.true_label:
            self._refused_unknown.append(one.refused)

    @property
    def num_unknown(self) -> int:
        """Pictures whose label is none of the classes."""
        return len(self._refused_unknown)

    def scores(self) -> dict[str, Any] | None:
        """What the labels say of the predictions; None where none of them is one of the classes.

        ``accuracy`` with Wilson's 95 % interval, ``macro_f1`` over the classes that are asked
        for, ``ece``, ``confusion`` (counts; a row for each class, a column for each prediction),
        and ``wrongly_refused``, ``wrongly_accepted``: shares of the pictures of the classes and of
        none of them (None without such).
        """
        if not self._truth:
            return None
        from sklearn.metrics import confusion_matrix, f1_score

        from metaray.algorithms.intervals import wilson_interval
        from metaray.platform.training.meta.metrics import (
            calibration_bins,
            expected_calibration_error,
        )

        truth, log_p = np.array(self._truth), np.stack(self._log_p)
        predicted = log_p.argmax(1)
        right = int((predicted == truth).sum())
        low, high = wilson_interval(right, len(truth))
        asked = np.unique(truth)
        bins = calibration_bins(log_p, truth)
        unknown = self._refused_unknown
        return {
            "num_labelled": len(truth),
            "accuracy": right / len(truth),
            "accuracy_low": low,
            "accuracy_high": high,
            "macro_f1": float(
                f1_score(truth, predicted, labels=asked, average="macro", zero_division=0.0)
            ),
            "ece": expected_calibration_error(bins),
            "confusion": confusion_matrix(
                truth, predicted, labels=range(len(self.classes))
            ).tolist(),
            "wrongly_refused": float(np.mean(self._refused_known)),
            "wrongly_accepted": 1 - float(np.mean(unknown)) if unknown else None,
        }
