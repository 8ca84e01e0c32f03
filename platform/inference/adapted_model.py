"""A trained model with the classes of one task."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.calibration import SCORES, Anchors
from metaray.algorithms.errors import InputError
from metaray.platform.inference.pictures import Picture, PictureReader, as_list
from metaray.platform.run.calibration import Refusal

if TYPE_CHECKING:
    from metaray.platform.inference.learner import Learner

Array = NDArray[Any]

BATCH = 64
"""pictures that are read and predicted together"""


class Predicted(NamedTuple):
    """What is known of some pictures."""

    probabilities: Array
    """``[n, classes]``, calibrated where the run is"""
    refused: Array
    """whether each is of none of the classes, ``[n]``; always False where it cannot be told"""


class AdaptedModel:
    """A trained model that has learned a task: ``Learner.adapt`` makes it.

    Attributes:
        classes: the labels of the task, in the order of the probabilities.
    """

    def __init__(
        self,
        learner: Learner,
        adapted: Any,
        classes: tuple[Any, ...],
        support_x: Tensor,
        support_y: Tensor,
        reader: PictureReader,
    ) -> None:
        self.learner = learner
        self.classes = classes
        self.support_x = support_x
        self.support_y = support_y
        self.reader = reader
        self.left_out: list[str] = []
        self._adapted = adapted

    @property
    def warnings(self) -> list[str]:
        """Which files of the support folder were left out, and how the pictures so far look unlike
        those of the training."""
        return [*self.left_out, *self.learner.differences(self.reader)]

    def predict(self, images: Sequence[Picture], *, reject: bool = False) -> Array:
        """The class of each picture, ``[n]``.

        Args:
            images: pictures, as ``Learner.adapt`` takes them.
            reject: put None for pictures that belong to none of the classes.

        Raises:
            InputError: a picture cannot be read, or the run has no threshold to refuse by.
        """
        if reject:
            self.check_refusal()
        found = self.predict_pictures(images)
        labels: Array = np.array(self.classes)[found.probabilities.argmax(1)]
        if not reject:
            return labels
        answers: Array = labels.astype(object)
        answers[found.refused] = None
        return answers

    def predict_proba(self, images: Sequence[Picture]) -> Array:
        """The probability of each class, float64 ``[n, classes]``; rows add up to 1.

        Raises:
            InputError: a picture cannot be read.
        """
        return self.predict_pictures(images).probabilities

    def predict_pictures(self, images: Sequence[Picture]) -> Predicted:
        """Both answers of each picture; InputError as of ``predict``."""
        pictures = as_list(images)
        parts = [
            self.predict_inputs(self.reader.read(pictures[first : first + BATCH]))
            for first in range(0, len(pictures), BATCH)
        ]
        if not parts:
            return Predicted(np.empty((0, len(self.classes))), np.empty(0, bool))
        return Predicted(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def predict_inputs(self, x: Tensor) -> Predicted:
        """Both answers for prepared inputs ``[n, C, H, W]``.

        Raises:
            InputError: a prediction is infinite or NaN.
        """
        logits = self._logits(x)
        if np.isnan(logits).any() or (logits == np.inf).any():
            raise InputError(
                "the model predicts infinite values or NaN: train it with a lower learning rate"
            )
        refusal = self.refusal
        refused = (
            np.zeros(len(logits), bool)
            if refusal is None or self._anchors is None
            else SCORES[refusal.score](logits, self._anchors) < refusal.threshold
        )
        return Predicted(softmax(logits, axis=-1), refused)

    @cached_property
    def _anchors(self) -> Anchors | None:
        """Of the support set; None without one."""
        if not len(self.support_x):
            return None
        parts = self.support_x.split(BATCH)
        logits = np.concatenate([self._logits(part) for part in parts])
        return Anchors.of(logits, self.support_y.numpy())

    def _logits(self, x: Tensor) -> Array:
        """Of prepared inputs, divided by the temperature; ``[n, classes]``."""
        with torch.no_grad():
            outputs = self.learner.algorithm.predict(self._adapted, self.learner.inputs(x))
        # a head may have further outputs than the task has classes
        logits: Array = outputs[:, : len(self.classes)].double().cpu().numpy()
        calibration = self.learner.spec.calibration
        return logits / (1.0 if calibration is None else calibration.temperature)

    def features(self, x: Tensor) -> Array | None:
        """Features ``[n, F]`` of prepared inputs; None if the method has none."""
        try:
            with torch.no_grad():
                found = self.learner.algorithm.features(self._adapted, self.learner.inputs(x))
        except AttributeError:  # of a plug-in that keeps what it has learned in another form
            return None
        return np.asarray(found.double().cpu().numpy())

    @property
    def refusal(self) -> Refusal | None:
        """By which pictures of none of the classes are refused; None where nothing is known."""
        calibration = self.learner.spec.calibration
        return None if calibration is None else calibration.refusal

    @property
    def refusal_notes(self) -> list[str]:
        """In what the task differs from those by which the threshold to refuse was set."""
        calibration = self.learner.spec.calibration
        if calibration is None or not len(self.support_x):
            return []
        return calibration.refusal_notes(np.bincount(self.support_y.cpu().numpy()).tolist())

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        inputs = self.support_x, self.support_y, self.classes, self.reader
        return _adapted, (self.learner, *inputs)

    def save(self, folder: str | Path) -> None:
        """Write weights, settings and support set into a new folder, which ``mr.load`` opens.

        Raises:
            InputError: there are other files, it cannot be written, or a class is neither text nor
                a number.
        """
        from metaray.platform.inference.saved import save_adapted

        save_adapted(self, Path(folder).expanduser())

    def check_refusal(self) -> Refusal:
        """The rule of refusing.

        Raises:
            InputError: the run has none.
        """
        if self.refusal is not None:
            return self.refusal
        if self.learner.spec.calibration is None:
            raise InputError(
                "the probabilities of this model are not calibrated, so it cannot refuse: "
                f"{self.learner.spec.how_to_calibrate}"
            )
        raise InputError(
            "the threshold to refuse by is set on validation episodes with further classes, and "
            "the validation split of this run has no more classes than an episode: use more "
            "classes for validation, or lower task.ways"
        )

    @override
    def __repr__(self) -> str:
        names = ", ".join(map(str, self.classes[:5]))
        more = f" and {len(self.classes) - 5} more" if len(self.classes) > 5 else ""
        return f"AdaptedModel({self.learner.spec.title!r}, classes: {names}{more})"


def _adapted(learner: Learner, *inputs: Any) -> AdaptedModel:
    """What a pickle becomes again: the support set is learned again, to the same bits."""
    return learner.adapted(*inputs)
