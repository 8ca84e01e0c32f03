"""What the plots of a sweep share: its trials as points, its metrics as words and axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from metaray.platform.common.formatting import number, percent
from metaray.platform.report.style import Theme, color_ramp
from metaray.platform.sweep.plan import DIRECTIONS
from metaray.platform.sweep.results import SweepResult, TrialRecord

Array = NDArray[np.float64]


def points(result: SweepResult, trials: Sequence[TrialRecord]) -> tuple[Array, Array]:
    """Numbers of ``trials``, and their first metric."""
    name = result.plan.metrics[0]
    x = np.array([trial.number for trial in trials], np.float64)
    return x, np.array([trial.metrics[name] for trial in trials], np.float64)


def maximized(result: SweepResult) -> bool:
    """Whether more of the first metric is better."""
    return DIRECTIONS[result.plan.metrics[0]] == "maximize"


def color_scale(theme: Theme, values: Array) -> tuple[Normalize, LinearSegmentedColormap]:
    """From values of the first metric to colors."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    return Normalize(low, high if high > low else low + 1e-9), color_ramp(theme)


def metric_name(metric: str) -> str:
    """A metric in words."""
    return {
        "val_accuracy": "validation accuracy",
        "val_mse": "validation mean squared error",
        "val_loss": "validation loss",
        "adapt_s": "seconds to adapt to a task",
        "wall_s": "seconds of training",
    }[metric]


def metric_label(result: SweepResult) -> str:
    """The first metric in words."""
    return metric_name(result.plan.metrics[0])


def short_name(path: str) -> str:
    """``method.inner_lr`` without its section, unless that says something."""
    section, _, leaf = path.rpartition(".")
    return f"{section} {leaf}" if leaf in ("name", "width", "depth") else leaf


def metric_text(result: SweepResult, value: float) -> str:
    """A value of the first metric."""
    is_error = result.plan.metrics[0] != "val_accuracy"
    return number(value, ".3g") if is_error else percent(value, 1)


def score_axis(axes: Axes, result: SweepResult) -> None:
    """Ticks for the first metric on the y axis."""
    if result.plan.metrics[0] == "val_accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        return
    low, high = axes.dataLim.y0, axes.dataLim.y1
    if 0 < 10 * low < high:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
