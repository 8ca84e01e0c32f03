"""Plots of the settings of a sweep. Each is None where the sweep has nothing for it."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
import optuna
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from optuna.distributions import BaseDistribution, CategoricalDistribution

from metaray.platform.report.style import Theme, new_figure
from metaray.platform.sweep.plot_parts import (
    color_scale,
    maximized,
    metric_label,
    points,
    score_axis,
    short_name,
)
from metaray.platform.sweep.results import SweepResult

_FEW = 6  # whole numbers that all have a tick
_WIDE = 9.4
_PAD = 0.04


def slices(result: SweepResult, theme: Theme) -> Figure | None:
    """The metric against each setting by itself."""
    done = result.valued("complete")
    axes_of = _dimensions(result)
    if not done or not axes_of:
        return None
    rows = ceil(len(axes_of) / 4)
    columns = ceil(len(axes_of) / rows)
    figure = new_figure(_WIDE, 2.3 * rows + 0.3)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    pruned = result.valued("pruned")
    for axes, (path, scale) in zip(grid.flat, axes_of.items(), strict=False):
        for trials, style in (
            (pruned, {"facecolors": "none", "edgecolors": theme.other, "linewidths": 1.0}),
            (done, {"color": theme.main, "alpha": 0.85}),
        ):
            shown = [trial for trial in trials if path in trial.values]
            x = [scale.place(trial.values[path]) for trial in shown]
            axes.scatter(x, points(result, shown)[1], s=18, **style)
        best = result.best
        if best is not None and path in best.values:
            at = [scale.place(best.values[path])], points(result, [best])[1]
            axes.scatter(*at, s=70, facecolors="none", edgecolors=theme.accent, linewidths=2)
        axes.set_xticks(scale.ticks, scale.labels)
        axes.set_xlim(-_PAD * 2, 1 + _PAD * 2)
        axes.set(xlabel=short_name(path))
        score_axis(axes, result)
    for axes in grid[:, 0]:
        axes.set(ylabel=metric_label(result))
    for axes in grid.flat[len(axes_of) :]:
        axes.set_axis_off()
    return figure


def parallel(result: SweepResult, theme: Theme) -> Figure | None:
    """A line for each complete trial through the values of all its settings."""
    done = result.valued("complete")
    axes_of = _dimensions(result)
    if len(done) < 2 or len(axes_of) < 2:
        return None
    figure = new_figure(_WIDE, 3.4)
    axes = figure.subplots()
    values = points(result, done)[1]
    norm, cmap = color_scale(theme, values)
    sign = 1 if maximized(result) else -1
    for index in np.argsort(sign * values):  # the best on top
        trial = done[index]
        at = [
            (x, scale.place(trial.values[path]))
            for x, (path, scale) in enumerate(axes_of.items())
            if path in trial.values
        ]
        is_best = result.best is not None and trial.number == result.best.number
        color = theme.accent if is_best else cmap(norm(values[index]))
        axes.plot(*zip(*at, strict=True), color=color, linewidth=2.6 if is_best else 1.2)
    for x, (path, scale) in enumerate(axes_of.items()):
        axes.plot([x, x], [0, 1], color=theme.ink, linewidth=0.8, zorder=1)
        for tick, label in zip(scale.ticks, scale.labels, strict=True):
            axes.text(x + 0.02, tick, label, fontsize=7, va="center", color=theme.ink,
                      bbox={"facecolor": theme.paper, "edgecolor": "none", "pad": 0.6,
                            "alpha": 0.75})  # fmt: skip
        axes.text(x, 1.07, short_name(path), ha="center", va="bottom", fontsize=8)
    axes.set(xlim=(-0.15, len(axes_of) - 0.6), ylim=(-0.06, 1.14))
    axes.set_axis_off()
    bar = figure.colorbar(ScalarMappable(norm, cmap), ax=axes, shrink=0.85, pad=0.02)
    assert bar.solids is not None
    bar.solids.set_edgecolor("face")  # no seams between the shades
    bar.outline.set_visible(False)
    bar.set_label(metric_label(result))
    if result.plan.metrics[0] == "val_accuracy":
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


_LABEL = 0.25  # width of a label, as a share of a plot


class _Scale:
    """Where the values of a setting lie between 0 and 1, and what stands there."""

    def __init__(self, distribution: BaseDistribution) -> None:
        self._log = bool(getattr(distribution, "log", False))
        self._choices: tuple[Any, ...] = ()
        if isinstance(distribution, CategoricalDistribution):
            self._choices = distribution.choices
            self.labels = [str(choice) for choice in self._choices]
            self.ticks = np.linspace(0, 1, len(self._choices)).tolist()
            return
        self._low, self._high = distribution.low, distribution.high  # type: ignore[attr-defined]
        whole = isinstance(self._low, int)
        middle = float(self._low + self._high) / 2
        marks = [self._low, *(_decades(self._low, self._high) if self._log else [middle])]
        marks.append(self._high)
        shown = sorted({round(m) for m in marks} if whole else set(marks))
        if whole and self._high - self._low < _FEW:
            shown = list(range(self._low, self._high + 1))
        self.ticks = [self.place(mark) for mark in shown]
        self.labels = [f"{mark:.2g}" if not whole else str(mark) for mark in shown]

    def place(self, value: Any) -> float:
        """``value`` between 0 and 1."""
        if self._choices:
            return self._choices.index(value) / max(1, len(self._choices) - 1)
        low, high = self._low, self._high
        if self._log:
            low, high, value = np.log(low), np.log(high), np.log(value)
        return float((value - low) / (high - low))


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten between two ends, as far from these and one another as labels are wide.

    >>> _decades(1e-4, 0.1), _decades(1.2e-4, 0.0013), _decades(1e-8, 1.0)
    ([0.001, 0.01], [], [1e-06, 0.0001, 0.01])
    """
    first, last = np.log10([low, high])
    room = _LABEL * (last - first)
    powers = range(int(np.floor(first)), int(np.ceil(last)) + 1)
    inside = [power for power in powers if first + room <= power <= last - room]
    return [10.0**power for power in inside[:: max(1, int(np.ceil(room)))]]


def _dimensions(result: SweepResult) -> dict[str, _Scale]:
    """Every setting that was searched, the most important first; none where trials changed them."""
    if result.plan.scheduler == "pbt":
        return {}
    distributions: dict[str, BaseDistribution] = {}
    for trial in result.study.get_trials(deepcopy=False):
        if trial.state != optuna.trial.TrialState.WAITING:
            distributions |= trial.distributions
    order = [*result.importances, *distributions]
    return {path: _Scale(distributions[path]) for path in dict.fromkeys(order)}
