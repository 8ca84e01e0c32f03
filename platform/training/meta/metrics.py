"""The metrics of a meta-test, from what a model predicted.

Legend: E episodes, S reported inner steps (the last is the method's prediction), Q queries of an
episode, N classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from scipy.special import log_softmax, softmax

from metaray.algorithms.errors import InputError
from metaray.algorithms.intervals import mean_and_ci95
from metaray.platform.common.arrow import to_column

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from metaray.algorithms.losses import Kind
    from metaray.platform.training.meta.messages import Predictions

    Array = NDArray[np.float64]
    Anything = NDArray[Any]

NUM_BINS = 15


class Bin(NamedTuple):
    """Predictions of about the same confidence; both means are None in an empty bin."""

    confidence: float | None
    accuracy: float | None
    num_queries: int


def accuracy_by_step(logits: Anything, labels: Anything) -> Array:
    """Share of right queries, ``[E, S]``, of logits ``[E, S, Q, N]`` and labels ``[E, Q]``."""
    hits = logits.argmax(-1) == labels[:, None]
    return np.asarray(hits.mean(-1), np.float64)


def mse_by_step(outputs: Anything, targets: Anything) -> Array:
    """Mean squared error, ``[E, S]``, of outputs ``[E, S, Q, 1]`` and targets ``[E, Q, 1]``."""
    error = outputs.astype(np.float64) - targets[:, None]
    return np.asarray(np.square(error).mean((-2, -1)), np.float64)


def macro_f1(predicted: Anything, labels: Anything, num_classes: int) -> Array:
    """F1 of each class of an episode, averaged over its classes, ``[E]``, of ``[E, Q]`` twice.

    Equals scikit-learn's ``f1_score(average="macro", labels=range(num_classes))``, which takes
    one episode at a time. A class that is neither asked for nor predicted counts 0.
    """
    classes = np.arange(num_classes)
    is_true = labels[..., None] == classes  # [E, Q, N]
    is_predicted = predicted[..., None] == classes
    right = (is_true & is_predicted).sum(1)
    total = is_true.sum(1) + is_predicted.sum(1)
    f1 = 2 * right / np.maximum(total, 1)
    return np.asarray(f1.mean(-1), np.float64)


def negative_log_likelihood(logits: Anything, labels: Anything) -> Array:
    """Mean of ``-log p(true class)`` over the queries, ``[E]``, of ``[E, Q, N]`` and ``[E, Q]``."""
    log_p = log_softmax(logits.astype(np.float64), axis=-1)
    picked = np.take_along_axis(log_p, labels[..., None].astype(np.int64), axis=-1)
    return np.asarray(-picked[..., 0].mean(-1), np.float64)


def calibration_bins(logits: Anything, labels: Anything, num_bins: int = NUM_BINS) -> list[Bin]:
    """All queries of all episodes, by confidence: bin m holds those in ``((m-1)/M, m/M]``.

    The confidence is the largest probability (Guo et al., On calibration of modern neural
    networks, ICML 2017, section 2).
    """
    p = softmax(logits.astype(np.float64), axis=-1)
    confidence, hits = p.max(-1).ravel(), (p.argmax(-1) == labels).ravel()
    index = np.clip(np.ceil(confidence * num_bins).astype(np.int64) - 1, 0, num_bins - 1)
    counts = np.bincount(index, minlength=num_bins)
    sums = np.bincount(index, confidence, num_bins), np.bincount(index, hits, num_bins)
    return [
        Bin(float(c / n), float(a / n), int(n)) if n else Bin(None, None, 0)
        for c, a, n in zip(*sums, counts, strict=True)
    ]


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    """Gap between confidence and accuracy, weighted by queries (Guo et al. 2017, equation 3)."""
    total = sum(b.num_queries for b in bins)
    gaps = (
        b.num_queries * abs(b.accuracy - b.confidence)
        for b in bins
        if b.accuracy is not None and b.confidence is not None
    )
    return sum(gaps) / total


@dataclass(frozen=True, kw_only=True, eq=False)
class MetaTest:
    """What is reported of a meta-test. The score is accuracy, or mean squared error."""

    kind: Kind
    reported_steps: tuple[int, ...]
    score_by_step: Array  # [E, S]
    loss: Array  # [E]
    macro_f1: Array | None  # [E]; None for regression, as are the bins
    calibration: list[Bin] | None
    predicted: Sequence[Anything] | Anything | None = None
    """labels, ``[E, Q]`` or, where shapes vary, ``[Q]`` of each episode; None for regression, as is
    the next"""
    labels: Sequence[Anything] | Anything | None = None
    shots: Sequence[Anything] | None = None
    """where shapes vary: of each episode the support examples of its classes, ``[N]``"""

    @classmethod
    def from_outputs(
        cls, kind: Kind, outputs: Anything, labels: Anything, reported_steps: Sequence[int]
    ) -> MetaTest:
        """Metrics of outputs ``[E, S, Q, N]`` for labels ``[E, Q]``, or both with a last axis of 1.

        Raises:
            InputError: an output is infinite or NaN; its episode is named.
        """
        if outputs.ndim != 4 or outputs.shape[1] != len(reported_steps):
            raise ValueError(f"{len(reported_steps)} steps, but outputs are {outputs.shape}")
        _check_finite(outputs)
        steps, last = tuple(int(step) for step in reported_steps), outputs[:, -1]
        if kind == "regression":
            mse = mse_by_step(outputs, labels)
            return cls(
                kind=kind,
                reported_steps=steps,
                score_by_step=mse,
                loss=mse[:, -1],
                macro_f1=None,
                calibration=None,
            )
        return cls(
            kind=kind,
            reported_steps=steps,
            score_by_step=accuracy_by_step(outputs, labels),
            loss=negative_log_likelihood(last, labels),
            macro_f1=macro_f1(last.argmax(-1), labels, outputs.shape[-1]),
            calibration=calibration_bins(last, labels),
            predicted=last.argmax(-1),
            labels=labels.astype(np.int64),
        )

    @classmethod
    def of_parts(
        cls, kind: Kind, parts: Sequence[Predictions], reported_steps: Sequence[int]
    ) -> MetaTest:
        """Metrics of episodes whose shapes differ; arguments and errors as of ``from_outputs``."""
        bad = [index for index, part in enumerate(parts) if not np.isfinite(part.outputs).all()]
        if bad:
            raise _not_finite(len(bad), len(parts), bad[0])
        tests = [cls.from_outputs(kind, p.outputs, p.labels, reported_steps) for p in parts]
        found = [test.macro_f1 for test in tests if test.macro_f1 is not None]
        bins = [test.calibration for test in tests if test.calibration is not None]
        return cls(
            kind=kind,
            reported_steps=tests[0].reported_steps,
            score_by_step=np.concatenate([test.score_by_step for test in tests]),
            loss=np.concatenate([test.loss for test in tests]),
            macro_f1=np.concatenate(found),
            calibration=[joined(same) for same in zip(*bins, strict=True)],
            predicted=[test.predicted[0] for test in tests if test.predicted is not None],
            labels=[test.labels[0] for test in tests if test.labels is not None],
            shots=[row for part in parts if part.shots is not None for row in part.shots],
        )

    @property
    def score_name(self) -> str:
        """``accuracy`` or ``mse``."""
        return "mse" if self.kind == "regression" else "accuracy"

    def to_table(self, baseline: MetaTest | None = None) -> pa.Table:
        """One row per episode; with the score of ``baseline`` on the same episodes, if given."""
        name, last = self.score_name, self.score_by_step[:, -1]
        columns: dict[str, Any] = {"episode": np.arange(len(last)), name: last, "loss": self.loss}
        if self.macro_f1 is not None:
            columns["macro_f1"] = self.macro_f1
        if self.shots is not None:
            columns["ways"] = np.array([len(shots) for shots in self.shots])
            columns["support"] = np.array([shots.sum() for shots in self.shots])
        columns[f"{name}_by_step"] = self.score_by_step
        if baseline is not None:
            columns[f"baseline_{name}"] = baseline.score_by_step[:, -1]
        return pa.table({name: to_column(values) for name, values in columns.items()})

    def headline(self) -> dict[str, Any]:
        """The metrics of all episodes together, ready for JSON; ``ci95`` are half-widths."""
        mean, ci95 = mean_and_ci95(self.score_by_step)
        bins = self.calibration
        metrics: dict[str, Any] = {
            "num_episodes": len(self.loss),
            "accuracy": None,
            self.score_name: float(mean[-1]),
            "ci95": float(ci95[-1]),
            "loss": float(self.loss.mean()),
            "macro_f1": None if self.macro_f1 is None else float(self.macro_f1.mean()),
            "ece": None if bins is None else expected_calibration_error(bins),
            "reported_steps": list(self.reported_steps),
            f"{self.score_name}_by_step": mean.tolist(),
            "ci95_by_step": ci95.tolist(),
        }
        if bins is not None:
            metrics["calibration"] = [list(b) for b in bins]
        return metrics

    def baseline_headline(self) -> dict[str, Any]:
        """What a summary says of this test when it is the baseline's."""
        metrics, name = self.headline(), self.score_name
        return {f"baseline_{key}": metrics[key] for key in (name, "ci95", f"{name}_by_step")}


def joined(bins: Sequence[Bin]) -> Bin:
    """One bin with the predictions of all ``bins``."""
    total = sum(b.num_queries for b in bins)
    if not total:
        return Bin(None, None, 0)
    sums = (
        sum(b.num_queries * value for b in bins if (value := b[place]) is not None)
        for place in (0, 1)
    )
    confidence, accuracy = (value / total for value in sums)
    return Bin(confidence, accuracy, total)


def _check_finite(outputs: Anything) -> None:
    bad = np.flatnonzero(~np.isfinite(outputs).all((1, 2, 3)))
    if len(bad):
        raise _not_finite(len(bad), len(outputs), int(bad[0]))


def _not_finite(count: int, episodes: int, first: int) -> InputError:
    return InputError(
        f"{count} of {episodes} test episodes, the first of them number {first}, gave "
        "predictions that are infinite or NaN: lower the inner step size or the inner steps"
    )
