"""The plots of a comparison. Each gives None where there is nothing to draw."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from metaray.platform.common.formatting import short_time
from metaray.platform.compare.paired import Array
from metaray.platform.compare.results import EntryResult, Results, over_runs
from metaray.platform.report.style import Theme, new_figure

_MARKERS = "osD^vP*X"
_LINES = ("-", "--", ":")
_GRID_POINTS = 60
_WIDTH_IN = 6.4


class _Look(NamedTuple):
    color: str
    marker: str
    line: str


def scores(results: Results, theme: Theme) -> Figure:
    """The score of every entry: mean, interval over episodes, and a dot for each seed."""
    figure = new_figure(_WIDTH_IN, 1.1 + 0.3 * len(results.rows))
    axes = figure.subplots()
    looks = _looks(results, theme)
    for place, row in enumerate(reversed(results.rows)):
        color = looks[row.name].color
        means = [run.scores.mean() for run in row.runs]
        axes.plot(means, [place] * len(means), "|", color=color, markersize=12, alpha=0.7)
        axes.errorbar(
            row.score.mean, place, xerr=row.score.ci95, fmt="o", color=color, capsize=3, zorder=3
        )
    axes.set_yticks(range(len(results.rows)), [row.name for row in reversed(results.rows)])
    axes.set_ylim(-0.6, len(results.rows) - 0.4)
    axes.set_xlabel(_label(results))
    chance = results.rows[0].first.chance
    if chance is not None:
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.axvline(chance, color=theme.ink, linewidth=0.8, linestyle=":")
        axes.annotate(
            "guessing", (chance, 1), xycoords=("data", "axes fraction"), xytext=(3, -2),
            textcoords="offset points", va="top", fontsize=8,
        )  # fmt: skip
    return figure


def against_shots(results: Results, theme: Theme) -> Figure | None:
    """The score over the labelled examples per class, at the ways of the comparison."""
    return _curve(results, theme, "shots", "labelled examples per class (shots)")


def against_ways(results: Results, theme: Theme) -> Figure | None:
    """The score over the classes of an episode, at the shots of the comparison."""
    return _curve(results, theme, "ways", "classes per episode (ways)")


def against_time(results: Results, theme: Theme) -> Figure | None:
    """Validation over the time spent in training: the mean over the seeds, faint: each seed."""
    figure = new_figure(_WIDTH_IN, 3.8)
    axes = figure.subplots()
    is_empty = True
    for row, look in _with_looks(results, theme):
        curves = [_validations(results, run.record) for run in row.runs]
        curves = [curve for curve in curves if len(curve[0])]
        if not curves:
            continue
        is_empty = False
        for seconds, values in curves if len(curves) > 1 else ():
            axes.plot(seconds, values, look.line, color=look.color, alpha=0.25, linewidth=0.8)
        seconds, values = _mean_curve(curves)
        axes.plot(
            seconds, values, look.line, color=look.color, marker=look.marker, markersize=4,
            markevery=[-1], label=row.name,
        )  # fmt: skip
    if is_empty:
        return None
    axes.set(xlabel="seconds of training", ylabel=f"validation {_label(results)}")
    axes.set_xlim(left=0)
    _finish(axes, results)
    return figure


def against_cost(results: Results, theme: Theme) -> Figure:
    """The score over the time that a new task takes."""
    figure = new_figure(_WIDTH_IN, 3.8)
    axes = figure.subplots()
    for row, look in _with_looks(results, theme):
        axes.errorbar(
            row.metrics()["adaptation_s"], row.score.mean, yerr=row.score.ci95, fmt=look.marker,
            color=look.color, capsize=2, markersize=6, label=row.name,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda x, _: short_time(x))
    axes.xaxis.set_minor_locator(NullLocator())
    times = [row.metrics()["adaptation_s"] for row in results.rows]
    ticks = _ticks_125(min(times), max(times))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.set_xlim(ticks[0], ticks[-1])
    axes.set(xlabel="time to adapt to a task and predict, one CPU thread", ylabel=_label(results))
    _finish(axes, results)
    return figure


def _curve(results: Results, theme: Theme, over: str, label: str) -> Figure | None:
    test = results.test
    figure = new_figure(_WIDTH_IN, 3.8)
    axes = figure.subplots()
    drawn: set[int] = set()
    for row, look in _with_looks(results, theme):
        points = {
            (shots if over == "shots" else ways): found
            for (ways, shots), found in row.curve().items()
            if (ways == test["ways"] if over == "shots" else shots == test["shots"])
        }
        if not points:
            continue
        at = sorted(points)
        drawn |= set(at)
        values = [over_runs(points[x]) for x in at]
        axes.errorbar(
            at, [mean for mean, _ in values], yerr=[ci95 for _, ci95 in values],
            fmt=look.line, color=look.color, marker=look.marker, markersize=5, linewidth=1.5,
            elinewidth=0.9, capsize=2, label=row.name,
        )  # fmt: skip
    if len(drawn) < 2:
        return None
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted(drawn)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.set(xlabel=label, ylabel=_label(results))
    if over == "ways" and not results.is_regression:
        at = sorted(drawn)
        axes.plot(at, [1 / n for n in at], ":", color=theme.ink, linewidth=0.8, label="guessing")
    _finish(axes, results)
    return figure


def _validations(results: Results, record: Any) -> tuple[Array, Array]:
    """Seconds and score of the validations of one run."""
    values = record.column(f"val_{results.score_name}")
    at = np.isfinite(values)
    return record.column("wall_s")[at], values[at]


def _mean_curve(curves: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """The mean of several curves where all of them are known, interpolated in between."""
    if len(curves) == 1:
        return curves[0]
    first = max(seconds[0] for seconds, _ in curves)
    last = min(seconds[-1] for seconds, _ in curves)
    grid = np.linspace(first, max(first, last), _GRID_POINTS)
    values = np.array([np.interp(grid, seconds, values) for seconds, values in curves])
    return grid, values.mean(0)


def _ticks_125(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten, from the last below ``low`` to the first above ``high``."""
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    ticks = [m * 10.0**e for e in range(first, last + 1) for m in (1, 2, 5)]
    below = [i for i, tick in enumerate(ticks) if tick <= low]
    above = [i for i, tick in enumerate(ticks) if tick >= high]
    return ticks[below[-1] if below else 0 : above[0] + 1]


def _looks(results: Results, theme: Theme) -> dict[str, _Look]:
    """By the order of the plan, so that the colour of a method does not depend on its result."""
    names = [entry.name for entry in results.plan.entries]
    colors = islice(cycle(theme.series), len(names))
    return {
        name: _Look(color, _MARKERS[i % len(_MARKERS)], _LINES[i // len(theme.series) % 3])
        for i, (name, color) in enumerate(zip(names, colors, strict=True))
    }


def _with_looks(results: Results, theme: Theme) -> list[tuple[EntryResult, _Look]]:
    looks = _looks(results, theme)
    return [(row, looks[row.name]) for row in results.rows]


def _label(results: Results) -> str:
    return "mean squared error" if results.is_regression else "accuracy"


def _finish(axes: Axes, results: Results) -> None:
    """The legend stands beside the axes, in the order of the results and with guessing last."""
    if not results.is_regression:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: (labels[i] == "guessing", i))
    axes.legend(
        [handles[i] for i in order], [labels[i] for i in order],
        loc="upper left", bbox_to_anchor=(1.0, 1.02),
    )  # fmt: skip
