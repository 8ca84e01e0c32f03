"""Plots of a transfer job."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from metaray.platform.report.curves import raw_and_smooth
from metaray.platform.report.record import MetricsTable
from metaray.platform.report.style import Theme, legend_above, log_if_it_helps, new_figure

_FEWEST_POINTS = 3  # validations that make a curve


def curve(metrics: MetricsTable, key: str, theme: Theme) -> Figure | None:
    """A metric of each batch, and on validation where that is known.

    None without any, or where a few validations are all that there is to see.
    """
    validations = int(np.isfinite(metrics.column(f"val_{key}")).sum())
    if not metrics.has(key) and validations < _FEWEST_POINTS:
        return None
    figure = new_figure()
    draw_curve(figure.subplots(), metrics, key, theme)
    return figure


def draw_curve(axes: Axes, metrics: MetricsTable, key: str, theme: Theme) -> None:
    """A metric of each step, and on validation where that is known."""
    validated = np.isfinite(metrics.column(f"val_{key}"))
    step = metrics.column("step")
    if metrics.has(key):
        raw_and_smooth(axes, step, metrics.column(key), theme)
    if validated.any():
        values = metrics.column(f"val_{key}")
        half = metrics.column("val_ci95")[validated] if key == "accuracy" else None
        axes.errorbar(
            step[validated], values[validated], yerr=half, markersize=4, linewidth=1.2,
            fmt="o" if metrics.has(key) else "o-", color=theme.accent, label="validation",
        )  # fmt: skip
    axes.set(xlabel="step", ylabel=key)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
    if key != "loss":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_ylim(top=1.01)
    else:
        log_if_it_helps(axes, metrics.column(key))
    legend_above(axes)
