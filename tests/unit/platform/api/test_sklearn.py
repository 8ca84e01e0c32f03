"""``FewShotClassifier`` in the hands of scikit-learn."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

import metaray as mr
from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.experiment import runner
from metaray.platform.experiment.meta import META
from metaray.platform.inference.learner import Learner
from metaray.sklearn import FewShotClassifier

NOT_APPLICABLE = {
    "check_methods_subset_invariance": "float32: batches of another size are rounded otherwise",
}


@pytest.fixture(scope="module")
def learner(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Learner:
    folder = tmp_path_factory.mktemp("sklearn") / "run"
    config = META.load(None, [*tiny, "method.name=protonet", "train.outer_steps=40"])
    runner.fit(config, folder, "local", CallbackList([]))
    return mr.Run(folder).learner


def test_the_checks_of_scikit_learn(learner: Learner) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results: Any = check_estimator(
            FewShotClassifier(learner), expected_failed_checks=NOT_APPLICABLE, on_skip=None
        )
    states = [result["status"] for result in results]
    assert states.count("passed") > 45
    assert {"failed"}.isdisjoint(states)


def test_digits_are_told_apart_after_five_of_each(learner: Learner) -> None:
    """Rows of 64 pixels, light ink: as glyphs are, so nothing is inverted."""
    X, y = load_digits(return_X_y=True)
    rows = np.concatenate([np.flatnonzero(y == digit)[:5] for digit in range(10)])
    rest = np.setdiff1d(np.arange(500), rows)
    classifier = FewShotClassifier(learner, invert=False).fit(X[rows], y[rows])
    assert classifier.classes_.tolist() == list(range(10))
    assert classifier.n_features_in_ == 64
    assert classifier.score(X[rest], y[rest]) > 0.4  # guessing: 0.1
    p = classifier.predict_proba(X[rest[:7]])
    assert p.shape == (7, 10)
    assert p.sum(1) == pytest.approx(np.ones(7))


def test_pipelines_cross_validation_and_clones(learner: Learner) -> None:
    X, y = load_digits(n_class=3, return_X_y=True)
    scale = FunctionTransformer(lambda rows: rows / 16)
    model = make_pipeline(scale, FewShotClassifier(learner, invert=False))
    scores = cross_val_score(clone(model), X[:60], y[:60], cv=3)
    assert scores.mean() > 0.7


def test_pictures_and_paths(learner: Learner, tmp_path: Path) -> None:
    digits = load_digits(n_class=2)
    images = [
        Image.fromarray((16 * image).clip(0, 255).astype(np.uint8)) for image in digits.images
    ]
    paths = []
    for number, image in enumerate(images[:12]):
        paths.append(tmp_path / f"{number}.png")
        image.save(paths[-1])
    names = np.array(["zero", "one"])[digits.target[:12]]
    by_path = FewShotClassifier(learner, invert=False).fit(paths[:6], names[:6])
    by_image = FewShotClassifier(learner, invert=False).fit(images[:6], names[:6])
    arrays = np.stack([np.asarray(image) for image in images[:12]])
    by_array = FewShotClassifier(learner, invert=False).fit(arrays[:6], names[:6])
    expected = by_path.predict_proba(paths[6:])
    np.testing.assert_array_equal(by_image.predict_proba(images[6:12]), expected)
    np.testing.assert_array_equal(by_array.predict_proba(arrays[6:]), expected)


def test_what_is_wrong_is_said(learner: Learner) -> None:
    rows, y = np.random.default_rng(0).uniform(size=(4, 10)), [0, 1, 0, 1]
    with pytest.raises(InputError, match="needs a trained model"):
        FewShotClassifier().fit(rows, y)
    with pytest.raises(InputError, match=r"image_shape = \(3, 3\) does not fit 10 pixels"):
        FewShotClassifier(learner, image_shape=(3, 3)).fit(rows, y)
    with pytest.warns(UserWarning, match="set image_shape"):
        FewShotClassifier(learner).fit(rows, y)
    FewShotClassifier(learner, image_shape=(2, 5)).fit(rows, y)
    with pytest.raises(InputError, match="one for each"):
        FewShotClassifier(learner).fit(["a.png", "b.png"], [1])
