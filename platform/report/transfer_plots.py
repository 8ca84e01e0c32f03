"""Plots of a transfer job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from metaray.platform.report.curves import raw_and_smooth
from metaray.platform.report.style import Theme, legend_above, log_if_it_helps, new_figure

Array = NDArray[np.float64]
_MOST_NAMED = 20  # classes whose names fit beside a matrix
_FEWEST_POINTS = 3  # validations that make a course


@dataclass(frozen=True)
class Course:
    """The rows of ``metrics.jsonl`` by column."""

    rows: Sequence[Mapping[str, Any]]

    def column(self, key: str) -> Array:
        """A figure of every step; NaN where a row has none."""
        values = (row.get(key) for row in self.rows)
        return np.array([np.nan if value is None else value for value in values], np.float64)

    def has(self, key: str) -> bool:
        """Whether any row has this figure."""
        return bool(np.isfinite(self.column(key)).any())


def curve(course: Course, key: str, theme: Theme) -> Figure | None:
    """A figure of each batch, and on validation where that is known.

    None without any, or where a few validations are all that there is to see.
    """
    validations = int(np.isfinite(course.column(f"val_{key}")).sum())
    if not course.has(key) and validations < _FEWEST_POINTS:
        return None
    figure = new_figure()
    draw_curve(figure.subplots(), course, key, theme)
    return figure


def draw_curve(axes: Axes, course: Course, key: str, theme: Theme) -> None:
    """A figure of each step, and on validation where that is known."""
    step = course.column("step")
    if course.has(key):
        raw_and_smooth(axes, step, course.column(key), theme)
    values = course.column(f"val_{key}")
    at = np.isfinite(values)
    if at.any():
        half = course.column("val_ci95")[at] if key == "accuracy" else None
        axes.errorbar(
            step[at], values[at], yerr=half, fmt="o" if course.has(key) else "o-", markersize=4,
            linewidth=1.2, color=theme.accent, label="validation",
        )  # fmt: skip
    axes.set(xlabel="step", ylabel=key)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
    if key != "loss":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_ylim(top=1.01)
    else:
        log_if_it_helps(axes, course.column(key))
    legend_above(axes)


def learning_rate(course: Course, theme: Theme) -> Figure | None:
    """The rate of each step."""
    if not course.has("lr"):
        return None
    figure = new_figure()
    axes = figure.subplots()
    axes.plot(course.column("step"), course.column("lr"), color=theme.main)
    axes.set(xlabel="step", ylabel="learning rate")
    axes.set_ylim(bottom=0)
    return figure


def confusion_matrix(counts: Array, names: Sequence[str], theme: Theme) -> Figure:
    """Share of each class (row) that was taken for each (column)."""
    figure = new_figure(5.0, 4.4)
    axes = figure.subplots()
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.grid(False)
    if len(names) <= _MOST_NAMED:
        ticks = range(len(names))
        axes.set_xticks(ticks, names, rotation=60, ha="right", fontsize=7)
        axes.set_yticks(ticks, names, fontsize=7)
        for y, x in np.argwhere(share >= 0.05):
            colour = "#ffffff" if share[y, x] > 0.5 else "#1f2933"
            axes.text(x, y, f"{100 * share[y, x]:.0f}", ha="center", va="center", fontsize=6,
                      color=colour)  # fmt: skip
    axes.set(xlabel="predicted", ylabel="class")
    return figure
