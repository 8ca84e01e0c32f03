"""Plots over the course of a run: loss, score, throughput."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from metaray.platform.report.record import Array, RunRecord
from metaray.platform.report.style import Theme, legend_above, log_if_it_helps, new_figure

_MOST_POINTS = 700  # more cannot be told apart, and make the page heavy
_WINDOWS_PER_RUN = 25


def loss_curve(run: RunRecord, theme: Theme) -> Figure | None:
    """Training loss of every step, smoothed, and validation loss."""
    if not run.has("loss"):
        return None
    figure = new_figure()
    axes = figure.subplots()
    name = "mean squared error" if run.is_regression else "loss"
    raw_and_smooth(axes, run.column("step"), run.column("loss"), theme)
    if run.is_regression and run.has("val_mse"):
        _validation(axes, run, "val_mse", theme, with_interval=True)
    elif run.has("val_loss"):
        _validation(axes, run, "val_loss", theme, with_interval=False)
    axes.set(xlabel="outer step", ylabel=name)
    log_if_it_helps(axes, run.column("loss"))
    _finish_steps(axes)
    return figure


def accuracy_curve(run: RunRecord, theme: Theme) -> Figure | None:
    """Training accuracy after adaptation, and validation with its interval."""
    if not run.has("accuracy"):
        return None
    figure = new_figure()
    axes = figure.subplots()
    raw_and_smooth(axes, run.column("step"), run.column("accuracy"), theme)
    if run.has("val_accuracy"):
        _validation(axes, run, "val_accuracy", theme, with_interval=True)
    axes.set(xlabel="outer step", ylabel="accuracy on queries")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylim(top=1.01)
    _finish_steps(axes)
    return figure


def throughput(run: RunRecord, theme: Theme) -> Figure | None:
    """Tasks per second, and workers alive, over the time; None for a single step."""
    if len(run.metrics) < 2 or not (run.has("tasks_per_s") and run.has("wall_s")):
        return None
    seconds = run.column("wall_s")
    in_minutes = np.nanmax(seconds) > 180
    time = seconds / 60 if in_minutes else seconds
    figure = new_figure()
    rate, workers = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    raw_and_smooth(rate, time, run.column("tasks_per_s"), theme)
    rate.set(ylabel="tasks / s")
    rate.set_ylim(bottom=0)
    legend_above(rate)
    if run.has("workers"):
        alive = run.column("workers")
        workers.step(time, alive, where="post", color=theme.accent)
        workers.fill_between(time, alive, step="post", color=theme.accent, alpha=0.2, linewidth=0)
        workers.set_ylim(0, np.nanmax(alive) + 0.6)
    workers.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
    workers.set(xlabel=f"{'minutes' if in_minutes else 'seconds'} of training", ylabel="workers")
    return figure


def smoothed(values: Array, window: int) -> Array:
    """Centred mean over ``window`` values, fewer at the ends; NaN are left out."""
    if window <= 1:
        return values
    good = np.isfinite(values)
    kernel = np.ones(window)
    total = np.convolve(np.where(good, values, 0.0), kernel, mode="same")
    count = np.convolve(good, kernel, mode="same")
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count)


def raw_and_smooth(axes: Axes, x: Array, y: Array, theme: Theme) -> None:
    """Every value faintly, and their mean over a few."""
    window = max(1, len(y) // _WINDOWS_PER_RUN)
    stride = max(1, len(y) // _MOST_POINTS)
    marker = "o" if len(y) < 10 else None
    if window == 1:
        axes.plot(x, y, color=theme.main, marker=marker, label="each step")
        return
    axes.plot(x[::stride], y[::stride], color=theme.main, alpha=0.28, linewidth=0.8)
    mean = smoothed(y, window)
    axes.plot(x[::stride], mean[::stride], color=theme.main, label=f"mean of {window} steps")


def _validation(axes: Axes, run: RunRecord, key: str, theme: Theme, with_interval: bool) -> None:
    values = run.column(key)
    at = np.isfinite(values)
    ci95 = run.column("val_ci95")[at] if with_interval else None
    axes.errorbar(
        run.column("step")[at],
        values[at],
        yerr=ci95,
        fmt="o",
        markersize=4,
        linewidth=1.2,
        color=theme.accent,
        label="validation, 95 % interval" if with_interval else "validation",
    )


def _finish_steps(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
    legend_above(axes)
