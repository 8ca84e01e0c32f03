"""A trained model as a classifier of scikit-learn: ``from metaray.sklearn import ...``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from metaray.algorithms.errors import InputError
from metaray.platform.api.loading import load_learner
from metaray.platform.api.run import Run
from metaray.platform.inference.learner import Learner
from metaray.platform.inference.pictures import Picture

Array = NDArray[Any]


class FewShotClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Learns classes from a few pictures with a model that metaray has trained.

    ``X`` is a list of pictures, as ``Learner.adapt`` takes them (paths, images of Pillow, arrays),
    an array ``[n, H, W]`` or ``[n, H, W, 3]``, or an array of numbers ``[n, pixels]`` as
    ``sklearn.datasets.load_digits`` has them: each row is then a picture, with the range of values
    that ``fit`` has seen from black to white.

    Args:
        run: folder of a run or of a saved model, an ``mr.Run``, or an ``mr.Learner``.
        image_shape: height and width, or with 3 as the third number, of pictures in rows; None: the
            smallest square, whose rest stays black.
        invert: whether dark ink on a light ground becomes the reverse; None: as in training.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Attributes:
        classes_: the labels, sorted.
        model_: the ``mr.AdaptedModel`` that learned them.
        n_features_in_: pixels of a row, where ``X`` had rows.
    """

    def __init__(
        self,
        run: str | Path | Run | Learner | None = None,
        *,
        image_shape: Sequence[int] | None = None,
        invert: bool | None = None,
        device: str = "auto",
    ) -> None:
        self.run = run
        self.image_shape = image_shape
        self.invert = invert
        self.device = device

    def fit(self, X: Any, y: Any) -> FewShotClassifier:
        """Learn the classes ``y`` of the pictures ``X``.

        Raises:
            InputError: no run, a picture that cannot be read, fewer than two classes, or a number
                of classes that the method does not allow.
        """
        learner = self._learner()
        if _is_rows(X):
            X, y = validate_data(self, X, y, dtype=np.float64)
            self._range = float(X.min()), float(X.max())
        else:
            X = list(X)
            if len(X) != len(y):
                raise InputError(f"got {len(X)} pictures and {len(y)} labels: give one for each")
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        self.model_ = learner.adapt(self._pictures(X), y.tolist(), invert=self.invert)
        return self

    def predict(self, X: Any) -> Array:
        """The class of each picture, ``[n]``."""
        chosen = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[chosen])

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, ``[n, classes]``."""
        check_is_fitted(self)
        if hasattr(self, "_range"):
            X = validate_data(self, X, dtype=np.float64, reset=False)
        return self.model_.predict_proba(self._pictures(X))

    def _learner(self) -> Learner:
        if self.run is None:
            raise InputError(
                "a FewShotClassifier needs a trained model: FewShotClassifier(run='runs/protonet')"
            )
        learner = self.run
        if isinstance(learner, Run):
            learner = learner.learner
        elif not isinstance(learner, Learner):
            learner = load_learner(learner)
        return learner if self.device == "auto" else learner.on(self.device)

    def _pictures(self, X: Any) -> list[Picture]:
        return self._from_rows(X) if hasattr(self, "_range") else list(X)

    def _from_rows(self, rows: Array) -> list[Picture]:
        """Rows of numbers as grey or coloured pictures."""
        low, high = self._range
        scaled = np.clip((rows - low) / ((high - low) or 1.0), 0.0, 1.0)
        pixels = rows.shape[1]
        shape = tuple(self.image_shape) if self.image_shape is not None else _square(pixels)
        if self.image_shape is not None and int(np.prod(shape)) != pixels:
            raise InputError(f"image_shape = {shape} does not fit {pixels} pixels in a row of X")
        filled = np.zeros((len(rows), int(np.prod(shape))))
        filled[:, :pixels] = scaled
        return list(np.rint(filled * 255).astype(np.uint8).reshape(len(rows), *shape))


def _is_rows(pictures: Any) -> bool:
    """Whether ``X`` is a table of numbers, and not a list of pictures."""
    if isinstance(pictures, list | tuple):
        first = pictures[0] if pictures else None
        return not (
            isinstance(first, str | Path | bytes | Image.Image) or getattr(first, "ndim", 0) > 1
        )
    return getattr(pictures, "ndim", 2) == 2 or not hasattr(pictures, "ndim")


def _square(pixels: int) -> tuple[int, int]:
    side = isqrt(pixels - 1) + 1
    if side * side != pixels:
        warnings.warn(
            f"rows of {pixels} pixels are no square pictures: set image_shape", stacklevel=4
        )
    return side, side
