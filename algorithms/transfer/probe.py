"""How much of the classes the features of a frozen encoder hold, without training it further.

* k-NN: Wu, Xiong, Yu & Lin, "Unsupervised Feature Learning via Non-Parametric Instance
  Discrimination", CVPR 2018 (arXiv 1805.01978), section 3.4: the k most similar training images
  vote, with weight ``exp(cos / t)``; k = 200 and t = 0.07.
* linear probe: logistic regression on standardised features, by scikit-learn.

Deviation of the linear probe: the literature trains it by SGD on augmented images; here features
are computed once, and the regression (with an L2 penalty) is solved.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from metaray.algorithms.errors import InputError
from metaray.algorithms.intervals import wilson_interval
from metaray.algorithms.transfer.nearest_centroid import unit_rows

Features = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]

_CHUNK = 512  # test images whose similarities are held at once


class Accuracy(NamedTuple):
    """Share of right test images."""

    value: float
    low: float
    """lower end of Wilson's 95 % interval"""
    high: float
    """upper end"""
    num_images: int


def knn_probe(
    train_x: Features,
    train_y: Labels,
    test_x: Features,
    test_y: Labels,
    neighbours: int = 200,
    temperature: float = 0.07,
) -> Accuracy:
    """Accuracy on the test features ``[M, F]`` of a vote of the training features ``[N, F]``.

    All training features vote where there are fewer than ``neighbours``.

    Raises:
        InputError: a set is empty, does not fit its labels, or holds NaN.
    """
    _check(train_x, train_y, test_x, test_y)
    train, test = unit_rows(train_x), unit_rows(test_x)
    classes, train_class = np.unique(train_y, return_inverse=True)
    k = min(neighbours, len(train))
    predicted = []
    for first in range(0, len(test), _CHUNK):
        cosines = test[first : first + _CHUNK] @ train.T
        nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        weights = np.exp((np.take_along_axis(cosines, nearest, 1) - 1) / temperature)
        votes = np.zeros((len(cosines), len(classes)))
        np.add.at(votes, (np.arange(len(cosines))[:, None], train_class[nearest]), weights)
        predicted.append(classes[votes.argmax(1)])
    return _accuracy(np.concatenate(predicted), test_y)


def linear_probe(
    train_x: Features,
    train_y: Labels,
    test_x: Features,
    test_y: Labels,
    penalty: float = 1.0,
    max_iterations: int = 1000,
) -> Accuracy:
    """Accuracy on the test features ``[M, F]`` of a linear classifier of ``[N, F]``.

    ``penalty`` is the strength of the L2 penalty (the inverse of scikit-learn's C).

    Raises:
        InputError: as ``knn_probe``, or there is one class alone.
    """
    _check(train_x, train_y, test_x, test_y)
    if len(np.unique(train_y)) < 2:
        raise InputError(
            f"a linear probe needs two classes or more, got label {train_y[0]} alone: give "
            "training images of the other classes"
        )
    regression = LogisticRegression(C=1 / penalty, max_iter=max_iterations)
    model = make_pipeline(StandardScaler(), regression)
    with warnings.catch_warnings():
        # a classifier that could still fit a little better is a fair probe
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train_x.astype(np.float64), train_y)
    return _accuracy(model.predict(test_x.astype(np.float64)), test_y)


def _check(train_x: Features, train_y: Labels, test_x: Features, test_y: Labels) -> None:
    for name, x, y in (("training", train_x, train_y), ("test", test_x, test_y)):
        if not len(x) or len(x) != len(y):
            raise InputError(
                f"a probe needs {name} features with a label each, got {len(x)} features and "
                f"{len(y)} labels"
            )
        if not np.isfinite(x).all():
            raise InputError(
                f"the {name} features are infinite or NaN, as of an encoder that diverged: lower "
                "its learning rate"
            )


def _accuracy(predicted: Labels, labels: Labels) -> Accuracy:
    right = int((predicted == labels).sum())
    return Accuracy(right / len(labels), *wilson_interval(right, len(labels)), len(labels))
