"""What the plots of a sweep share: its trials as points, its metrics as words and axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter
from numpy.typing import NDArray
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from metaray.platform.report.style import Theme
from metaray.platform.sweep.plan import DIRECTIONS
from metaray.platform.sweep.results import SweepResult, TrialRecord

_FEWEST_FOR_IMPORTANCE = 5

Array = NDArray[np.float64]


def importances(result: SweepResult) -> dict[str, float]:
    """Settings by importance, the most important first; empty where there is too little to tell."""
    if result.plan.scheduler == "pbt":
        return {}  # a trial has no one value of a setting
    values = [trial.metrics[result.plan.metrics[0]] for trial in valued(result, "complete")]
    if len(values) < _FEWEST_FOR_IMPORTANCE or np.ptp(values) == 0:
        return {}
    several = len(result.plan.metrics) > 1
    return get_param_importances(
        result.study,
        evaluator=FanovaImportanceEvaluator(seed=0),
        target=(lambda trial: float(trial.values[0])) if several else None,
    )


def valued(result: SweepResult, state: str) -> list[TrialRecord]:
    """The trials in ``state`` that have the first metric."""
    name = result.plan.metrics[0]
    return [trial for trial in result.having(state) if trial.metrics.get(name) is not None]


def points(result: SweepResult, trials: Sequence[TrialRecord]) -> tuple[Array, Array]:
    """Numbers of ``trials``, and their first metric."""
    name = result.plan.metrics[0]
    x = np.array([trial.number for trial in trials], np.float64)
    return x, np.array([trial.metrics[name] for trial in trials], np.float64)


def maximized(result: SweepResult) -> bool:
    """Whether more of the first metric is better."""
    return DIRECTIONS[result.plan.metrics[0]] == "maximize"


def colors(theme: Theme, values: Array) -> tuple[Normalize, LinearSegmentedColormap]:
    """From values of the first metric to colors."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    map_ = LinearSegmentedColormap.from_list("metric", [theme.other, theme.main])
    return Normalize(low, high if high > low else low + 1e-9), map_


def mappable(colors: tuple[Normalize, LinearSegmentedColormap]) -> Any:
    """What a color bar is drawn from."""
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(*colors)


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


def figure_text(result: SweepResult, value: float) -> str:
    """A value of the first metric."""
    return f"{value:.1%}" if result.plan.metrics[0] == "val_accuracy" else f"{value:.3g}"


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
