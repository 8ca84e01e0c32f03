"""Plots of a sweep. Each is None where the sweep has nothing for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from metaray.platform.report.style import Theme, legend_above, new_figure
from metaray.platform.sweep.plot_parts import (
    color_scale,
    maximized,
    metric_label,
    metric_name,
    metric_text,
    points,
    score_axis,
    short_name,
)
from metaray.platform.sweep.results import SweepResult


def history(result: SweepResult, theme: Theme) -> Figure | None:
    """The value of each trial in turn, and the best so far."""
    done = result.valued("complete")
    if not done:
        return None
    figure = new_figure()
    axes = figure.subplots()
    pruned = result.valued("pruned")
    if pruned:
        hollow: dict[str, Any] = {
            "facecolors": "none",
            "edgecolors": theme.other,
            "linewidths": 1.2,
        }
        axes.scatter(*points(result, pruned), s=22, label="pruned", **hollow)
    x, y = points(result, done)
    axes.scatter(x, y, s=24, color=theme.main, label="complete", zorder=3)
    better = np.maximum if maximized(result) else np.minimum
    axes.step(x, better.accumulate(y), where="post", color=theme.accent, label="best so far")
    failed = result.having("failed")
    if failed:
        at = [trial.number for trial in failed]
        bottom = axes.get_xaxis_transform()
        axes.scatter(at, [0.02] * len(at), marker="x", s=26, color=theme.wrong, transform=bottom,
                     label="failed", clip_on=False)  # fmt: skip
    axes.set(xlabel="trial", ylabel=metric_label(result))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    score_axis(axes, result)
    legend_above(axes)
    return figure


def curves(result: SweepResult, theme: Theme) -> Figure | None:
    """Validation of every trial over its steps."""
    drawn = [trial for trial in result.trials if trial.curve]
    if not drawn:
        return None
    figure = new_figure()
    axes = figure.subplots()
    best = result.best.number if result.best else None
    named: set[str] = set()
    for trial in sorted(drawn, key=lambda t: t.number == best):
        steps, values = zip(*trial.curve, strict=True)
        name = "best" if trial.number == best else trial.state
        color = {"best": theme.accent, "complete": theme.main}.get(name, theme.other)
        style: dict[str, Any] = {"linewidth": 2.4} if name == "best" else {"linewidth": 1.0}
        style |= {"alpha": 1.0 if name == "best" else 0.6}
        label = name if name not in named else None
        marker = "o" if len(steps) == 1 else None
        axes.plot(steps, values, color=color, label=label, marker=marker, markersize=3, **style)
        named.add(name)
    axes.set(xlabel="step", ylabel=metric_label(result))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
    score_axis(axes, result)
    legend_above(axes)
    return figure


def importance(result: SweepResult, theme: Theme) -> Figure | None:
    """Share of the variance between complete trials that each setting explains (fANOVA)."""
    shares = result.importances
    if not shares:
        return None
    names = list(reversed(shares))
    figure = new_figure(height_in=max(1.6, 0.34 * len(names) + 0.9))
    axes = figure.subplots()
    bars = axes.barh([short_name(name) for name in names], [shares[n] for n in names], height=0.62)
    for bar in bars:
        bar.set_color(theme.main)
    axes.bar_label(bars, [f"{shares[name]:.0%}" for name in names], padding=4, fontsize=8)
    axes.grid(axis="y", visible=False)
    axes.set_xlim(0, max(shares.values()) * 1.15)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(xlabel="share of the variance explained")
    return figure


def pareto(result: SweepResult, theme: Theme) -> Figure | None:
    """The first two metrics against each other, and the trials that none beats in both."""
    done = result.valued("complete")
    if len(result.plan.metrics) < 2 or not done:
        return None
    first, second = result.plan.metrics[:2]
    figure = new_figure()
    axes = figure.subplots()
    x, y = ([trial.metrics[name] for trial in done] for name in (second, first))
    axes.scatter(x, y, s=22, color=theme.other, label="complete")
    front = sorted(
        (trial.metrics[second], trial.metrics[first], trial.number)
        for trial in done
        if trial.number in result.front
    )
    axes.plot([f[0] for f in front], [f[1] for f in front], "o--", color=theme.main,
              markersize=6, linewidth=1.2, label="Pareto front")  # fmt: skip
    for at_x, at_y, number in front:
        axes.annotate(f"{number}", (at_x, at_y), textcoords="offset points", xytext=(5, -9),
                      fontsize=7)  # fmt: skip
    axes.set(xlabel=metric_name(second), ylabel=metric_label(result))
    score_axis(axes, result)
    legend_above(axes)
    return figure


def ways_and_shots(result: SweepResult, theme: Theme) -> Figure | None:
    """The best value found for each pair of ways and shots, where both were searched."""
    searched = {path for trial in result.trials for path in trial.values}
    pair = next(
        (
            (ways, shots)
            for ways in ("task.train_ways", "task.ways")
            for shots in ("task.train_shots", "task.shots")
            if {ways, shots} <= searched
        ),
        None,
    )
    done = [t for t in result.valued("complete") if pair and set(pair) <= t.values.keys()]
    if pair is None or not done:
        return None
    ways, shots = (sorted({trial.values[path] for trial in done}) for path in pair)
    better = max if maximized(result) else min
    grid = np.full((len(ways), len(shots)), np.nan)
    count = np.zeros(grid.shape, int)
    for trial in done:
        at = ways.index(trial.values[pair[0]]), shots.index(trial.values[pair[1]])
        value = trial.metrics[result.plan.metrics[0]]
        grid[at] = value if np.isnan(grid[at]) else better(grid[at], value)
        count[at] += 1
    figure = new_figure(height_in=max(2.2, 0.42 * len(ways) + 1.2))
    axes = figure.subplots()
    norm, cmap = color_scale(theme, grid[np.isfinite(grid)])
    edges = (np.arange(n + 1) - 0.5 for n in reversed(grid.shape))
    axes.pcolormesh(*edges, grid, norm=norm, cmap=cmap)
    for (row, column), value in np.ndenumerate(grid):
        if np.isfinite(value):
            color = theme.on_main if np.asarray(norm(value)) > 0.5 else theme.on_other
            times = f" ×{count[row, column]}" if count[row, column] > 1 else ""
            axes.text(column, row, f"{metric_text(result, value)}{times}", ha="center",
                      va="center", fontsize=8, color=color)  # fmt: skip
    axes.set_xticks(range(len(shots)), [str(s) for s in shots])
    axes.set_yticks(range(len(ways)), [str(w) for w in ways])
    axes.grid(visible=False)
    axes.set(xlabel=short_name(pair[1]), ylabel=short_name(pair[0]))
    return figure
