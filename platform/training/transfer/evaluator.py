"""What a state of a transfer job is worth: on validation, before training, and in the test."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.transfer.examples import Examples, Part
from metaray.algorithms.transfer.nearest_centroid import nearest_centroid
from metaray.platform.training.transfer.blueprint import TransferBlueprint
from metaray.platform.training.transfer.metrics import (
    accuracy_metrics,
    logit_metrics,
    most_predicted,
)
from metaray.platform.training.transfer.predictor import Array, BatchPredictor, few_of_each

_MOST_SHOWN = 10_000
"""labelled images of the training part that a probe learns from"""


class Evaluator:
    """Evaluates states of one job. All processes take part in each call, and get its result."""

    def __init__(self, blueprint: TransferBlueprint, evaluator: BatchPredictor) -> None:
        self._blueprint = blueprint
        self._objective = blueprint.objective
        self._evaluator = evaluator

    def validate(self, state: State) -> dict[str, float]:
        """``val_accuracy``, ``val_ci95`` and, for classifiers, ``val_loss`` on the source."""
        source = self._blueprint.domains.source
        labels = source.labels("val")
        if self._classifies(state):
            metrics = logit_metrics(self._logits(state, source, "val"), labels)
        else:
            metrics = self._probed(state, "knn_probe", source, "val")
        kept = {key: metrics[key] for key in ("accuracy", "ci95", "loss") if key in metrics}
        return {f"val_{key}": float(value) for key, value in kept.items()}

    def before(self, state: State) -> dict[str, Any]:
        """What the features before training are worth: as they are tested at the end by a linear
        classifier; for jobs that train a classifier, by nearest class means."""
        if self._classifies(state):
            return self._nearest_centroid(state)
        return self._probed(state, "linear_probe", self._blueprint.domains.tested, "test")

    def test(self, state: State) -> tuple[dict[str, Any], dict[str, Array]]:
        """Metrics of the test part, and columns with a row for each of its images."""
        tested = self._blueprint.domains.tested
        labels = tested.labels("test")
        probes = {"nearest_centroid": self._nearest_centroid(state)}
        if self._classifies(state):
            logits = self._logits(state, tested, "test")
            predicted = logits.argmax(-1)
            metrics = logit_metrics(logits, labels)
            metrics["most_predicted"] = most_predicted(predicted, labels, tested.class_names)
            return metrics | {"probes": probes}, {"label": labels, "predicted": predicted}
        for kind in ("knn_probe", "linear_probe"):
            probes[kind] = self._probed(state, kind, tested, "test")
        return probes["linear_probe"] | {"probes": probes}, {}

    def _classifies(self, state: State) -> bool:
        x = self._blueprint.domains.source.images("val", np.arange(1))
        x = x.to(self._evaluator.device, self._evaluator.dtype)
        return self._objective.predict(state, x) is not None

    def _logits(self, state: State, examples: Examples, part: Part) -> Array:
        def predict(x: Tensor) -> Tensor:
            logits = self._objective.predict(state, x)
            assert logits is not None  # it was asked
            return logits

        return self._evaluator.outputs(predict, examples, part)

    def _nearest_centroid(self, state: State) -> dict[str, Any]:
        shown, labels, asked = self._features(state, self._blueprint.domains.tested, "test")
        predicted = nearest_centroid(shown, labels, asked)
        return accuracy_metrics(predicted, self._blueprint.domains.tested.labels("test"))

    def _probed(self, state: State, kind: str, examples: Examples, part: Part) -> dict[str, Any]:
        from metaray.algorithms.transfer import probe  # scikit-learn takes a second to import

        shown, labels, asked = self._features(state, examples, part)
        found: probe.Accuracy = getattr(probe, kind)(shown, labels, asked, examples.labels(part))
        return {
            "accuracy": found.value,
            "interval": [found.low, found.high],
            "ci95": (found.high - found.low) / 2,
            "num_examples": found.num_images,
        }

    def _features(self, state: State, examples: Examples, part: Part) -> tuple[Array, Array, Array]:
        """Features and labels of training images of the source, and features of ``part``."""
        source = self._blueprint.domains.source
        labels = source.labels("train")
        chosen = few_of_each(labels, max(1, _MOST_SHOWN // len(source.class_names)))

        def features(x: Tensor) -> Tensor:
            return self._objective.features(state, x)

        shown = self._evaluator.outputs(features, source, "train", chosen)
        return shown, labels[chosen], self._evaluator.outputs(features, examples, part)
