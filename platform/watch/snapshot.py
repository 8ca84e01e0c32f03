"""Where a run stands, as both views show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metaray.platform.common.formatting import percent
from metaray.platform.run.metrics_log import MetricsRow
from metaray.platform.run.status import Best, Event, TrialState, WorkerState

Points = tuple[tuple[float, float], ...]
_MOST_POINTS = 240
_RECENT = 20
_RATES = {"tasks_per_s": "tasks/s", "examples_per_s": "images/s"}


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Values by step."""

    name: str
    points: Points


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Curves with one axis."""

    title: str
    curves: tuple[Curve, ...]
    is_share: bool = False
    """whether its values are shares of 1"""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One look at a run."""

    title: str
    folder: str
    state: str
    """as of ``Status``, or: killed (its process is gone), silent (no news), unknown (no status)"""
    is_over: bool
    done: int
    total: int
    unit: str
    """of both: step or trial"""
    elapsed_s: float | None
    left_s: float | None
    metrics: tuple[str, ...]
    """ready to print"""
    plots: tuple[Plot, ...]
    workers: tuple[WorkerState, ...]
    trials: tuple[TrialState, ...]
    best: Best | None
    events: tuple[Event, ...]
    result: tuple[str, ...]
    """of the test, in sentences, once it is done"""


def run_plots(rows: Sequence[MetricsRow]) -> tuple[Plot, ...]:
    """Loss, and accuracy or squared error; training and validation."""
    plots = [
        Plot(title="loss", curves=_curves(rows, training="loss", validation="val_loss")),
        Plot(
            title="accuracy",
            curves=_curves(rows, training="accuracy", validation="val_accuracy"),
            is_share=True,
        ),
        Plot(title="squared error", curves=_curves(rows, validation="val_mse")),
    ]
    return tuple(plot for plot in plots if plot.curves)


def run_metrics(rows: Sequence[MetricsRow]) -> tuple[str, ...]:
    """The latest, over the last steps."""
    recent = rows[-_RECENT:]
    texts = [f"loss {mean:.4g}" for mean in _means(recent, "loss")]
    texts += [f"accuracy {percent(mean, 1)}" for mean in _means(recent, "accuracy")]
    validated = next((row for row in reversed(rows) if "val_ci95" in row), None)
    if validated is not None and validated.get("val_accuracy") is not None:
        texts.append(f"validation {percent(validated['val_accuracy'], 1)}")
    for key, unit in _RATES.items():
        texts += [f"{mean:.4g} {unit}" for mean in _means(recent, key)]
    texts += [f"{mean:.3g} s a step" for mean in _means(recent, "step_s")]
    if rows and rows[-1].get("workers_lost"):
        texts.append(f"{rows[-1]['workers_lost']} lost")
    return tuple(texts)


def seconds_left(rows: Sequence[MetricsRow], total: int) -> float | None:
    """By the pace of the last steps, validations included."""
    recent = [row for row in rows[-5 * _RECENT :] if row.get("wall_s") is not None]
    if len(recent) < 2 or recent[-1]["step"] <= recent[0]["step"]:
        return None
    pace = (recent[-1]["wall_s"] - recent[0]["wall_s"]) / (recent[-1]["step"] - recent[0]["step"])
    return float(max(0.0, pace * (total - recent[-1]["step"])))


def points_of(rows: Sequence[MetricsRow], key: str) -> Points:
    """Values by step; of many, means over as many neighbours as it takes to show them."""
    points = [(float(row["step"]), float(row[key])) for row in rows if row.get(key) is not None]
    size = -(-len(points) // _MOST_POINTS)
    if size <= 1:
        return tuple(points)
    groups = [points[first : first + size] for first in range(0, len(points), size)]
    return tuple(
        (sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group))
        for group in groups
    )


def _curves(rows: Sequence[MetricsRow], **keys: str) -> tuple[Curve, ...]:
    curves = [Curve(name=name, points=points_of(rows, key)) for name, key in keys.items()]
    return tuple(curve for curve in curves if curve.points)


def _means(rows: Sequence[MetricsRow], key: str) -> list[float]:
    values = [float(row[key]) for row in rows if row.get(key) is not None]
    return [sum(values) / len(values)] if values else []
