"""Plots over the course of a run: loss, score, throughput."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from metaray.platform.report.record import Array, MetricsTable, RunRecord
from metaray.platform.report.style import Theme, legend_above, log_if_it_helps, new_figure

_MOST_POINTS = 700  # more cannot be told apart, and make the page heavy
_WINDOWS_PER_RUN = 25


def loss_curve(run: RunRecord, theme: Theme) -> Figure | None:
    """Training loss of every step, smoothed, and validation loss."""
    if not run.has("loss"):
        return None
    name, validation = "mean squared error", "val_mse"
    if not run.is_regression:
        name, validation = "loss", "val_loss"
    figure, panels = _training_and_validation(run, "loss", validation, theme)
    for axes, key in zip(panels, ("loss", validation), strict=False):
        axes.set(ylabel=name)
        log_if_it_helps(axes, run.column(key))
    return figure


def accuracy_curve(run: RunRecord, theme: Theme) -> Figure | None:
    """Training accuracy after adaptation, and validation with its interval."""
    if not run.has("accuracy"):
        return None
    figure, panels = _training_and_validation(run, "accuracy", "val_accuracy", theme)
    for axes in panels:
        axes.set(ylabel="accuracy")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_ylim(top=1.01)
    return figure


def step_curve(
    metrics: MetricsTable, key: str, label: str, theme: Theme, *, from_zero: bool = False
) -> Figure | None:
    """A metric of each step; None where it was not recorded."""
    if not metrics.has(key):
        return None
    figure = new_figure()
    axes = figure.subplots()
    values = metrics.column(key)
    if from_zero:
        axes.plot(metrics.column("step"), values, color=theme.main)
        axes.set_ylim(bottom=0)
    else:
        raw_and_smooth(axes, metrics.column("step"), values, theme)
        log_if_it_helps(axes, values)
        legend_above(axes)
    axes.set(xlabel="step", ylabel=label)
    axes.xaxis.set_major_locator(_whole_steps())
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


def _validation(axes: Axes, run: RunRecord, key: str, theme: Theme, ci95: Array | None) -> None:
    values = run.column(key)
    at = np.isfinite(values)
    axes.errorbar(
        run.column("step")[at],
        values[at],
        yerr=None if ci95 is None else ci95[at],
        fmt="o-",
        markersize=4,
        linewidth=1.2,
        color=theme.accent,
        label="validation" if ci95 is None else "validation, 95 % interval",
    )


def _training_and_validation(
    run: RunRecord, key: str, validation: str, theme: Theme
) -> tuple[Figure, list[Axes]]:
    """Training above validation: tasks of the two may differ, so that one axis would suit one."""
    both = run.has(validation)
    figure = new_figure(4.5, 4.2 if both else 3.1)
    panels = list(figure.subplots(2 if both else 1, 1, sharex=True, squeeze=False)[:, 0])
    raw_and_smooth(panels[0], run.column("step"), run.column(key), theme)
    if both:
        interval = run.column("val_ci95") if validation != "val_loss" else None
        _validation(panels[1], run, validation, theme, interval)
    for axes in panels:
        legend_above(axes)
    panels[-1].set(xlabel="outer step")
    panels[-1].xaxis.set_major_locator(_whole_steps())
    return figure, panels


def _whole_steps() -> MaxNLocator:
    return MaxNLocator(integer=True, nbins=7, min_n_ticks=1)
