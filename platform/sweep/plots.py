"""Plots of a sweep. Each is None where the sweep has nothing for it."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from metaray.platform.report.style import Theme, legend_above, new_figure
from metaray.platform.sweep.plan import DIRECTIONS
from metaray.platform.sweep.results import SweepResult, TrialRecord

_FEWEST_FOR_IMPORTANCE = 5
_FEW = 6  # whole numbers that all have a tick
_WIDE = 9.4
_PAD = 0.04

Array = NDArray[np.float64]


def history(result: SweepResult, theme: Theme) -> Figure | None:
    """The value of each trial in turn, and the best so far."""
    done = _valued(result, "complete")
    if not done:
        return None
    figure = new_figure()
    axes = figure.subplots()
    pruned = _valued(result, "pruned")
    if pruned:
        hollow: dict[str, Any] = {
            "facecolors": "none",
            "edgecolors": theme.other,
            "linewidths": 1.2,
        }
        axes.scatter(*_points(result, pruned), s=22, label="pruned", **hollow)
    x, y = _points(result, done)
    axes.scatter(x, y, s=24, color=theme.main, label="complete", zorder=3)
    better = np.maximum if _maximized(result) else np.minimum
    axes.step(x, better.accumulate(y), where="post", color=theme.accent, label="best so far")
    failed = result.having("failed")
    if failed:
        at = [trial.number for trial in failed]
        bottom = axes.get_xaxis_transform()
        axes.scatter(at, [0.02] * len(at), marker="x", s=26, color=theme.wrong, transform=bottom,
                     label="failed", clip_on=False)  # fmt: skip
    axes.set(xlabel="trial", ylabel=_label(result))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _score_axis(axes, result)
    legend_above(axes)
    return figure


def curves(result: SweepResult, theme: Theme) -> Figure | None:
    """Validation of every trial over its outer steps."""
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
    axes.set(xlabel="outer step", ylabel=_label(result))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7, min_n_ticks=1))
    _score_axis(axes, result)
    legend_above(axes)
    return figure


def importance(result: SweepResult, theme: Theme) -> Figure | None:
    """Share of the variance between complete trials that each setting explains (fANOVA)."""
    shares = importances(result)
    if not shares:
        return None
    names = list(reversed(shares))
    figure = new_figure(height_in=max(1.6, 0.34 * len(names) + 0.9))
    axes = figure.subplots()
    bars = axes.barh([_short(name) for name in names], [shares[n] for n in names], height=0.62)
    for bar in bars:
        bar.set_color(theme.main)
    axes.bar_label(bars, [f"{shares[name]:.0%}" for name in names], padding=4, fontsize=8)
    axes.grid(axis="y", visible=False)
    axes.set_xlim(0, max(shares.values()) * 1.15)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(xlabel="share of the variance explained")
    return figure


def importances(result: SweepResult) -> dict[str, float]:
    """Settings by importance, the most important first; empty where there is too little to tell."""
    if result.plan.scheduler == "pbt":
        return {}  # a trial has no one value of a setting
    values = [trial.metrics[result.plan.metrics[0]] for trial in _valued(result, "complete")]
    if len(values) < _FEWEST_FOR_IMPORTANCE or np.ptp(values) == 0:
        return {}
    several = len(result.plan.metrics) > 1
    return get_param_importances(
        result.study,
        evaluator=FanovaImportanceEvaluator(seed=0),
        target=(lambda trial: float(trial.values[0])) if several else None,
    )


def slices(result: SweepResult, theme: Theme) -> Figure | None:
    """The metric against each setting by itself."""
    done = _valued(result, "complete")
    axes_of = _dimensions(result)
    if not done or not axes_of:
        return None
    rows = ceil(len(axes_of) / 4)
    columns = ceil(len(axes_of) / rows)
    figure = new_figure(_WIDE, 2.3 * rows + 0.3)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    pruned = _valued(result, "pruned")
    for axes, (path, scale) in zip(grid.flat, axes_of.items(), strict=False):
        for trials, style in (
            (pruned, {"facecolors": "none", "edgecolors": theme.other, "linewidths": 1.0}),
            (done, {"color": theme.main, "alpha": 0.85}),
        ):
            shown = [trial for trial in trials if path in trial.values]
            x = [scale.place(trial.values[path]) for trial in shown]
            axes.scatter(x, _points(result, shown)[1], s=18, **style)
        best = result.best
        if best is not None and path in best.values:
            at = [scale.place(best.values[path])], _points(result, [best])[1]
            axes.scatter(*at, s=70, facecolors="none", edgecolors=theme.accent, linewidths=2)
        axes.set_xticks(scale.ticks, scale.labels)
        axes.set_xlim(-_PAD * 2, 1 + _PAD * 2)
        axes.set(xlabel=_short(path))
        _score_axis(axes, result)
    for axes in grid[:, 0]:
        axes.set(ylabel=_label(result))
    for axes in grid.flat[len(axes_of) :]:
        axes.set_axis_off()
    return figure


def parallel(result: SweepResult, theme: Theme) -> Figure | None:
    """A line for each complete trial through the values of all its settings."""
    done = _valued(result, "complete")
    axes_of = _dimensions(result)
    if len(done) < 2 or len(axes_of) < 2:
        return None
    figure = new_figure(_WIDE, 3.4)
    axes = figure.subplots()
    values = _points(result, done)[1]
    colors = _colors(theme, values)
    sign = 1 if _maximized(result) else -1
    for index in np.argsort(sign * values):  # the best on top
        trial = done[index]
        at = [
            (x, scale.place(trial.values[path]))
            for x, (path, scale) in enumerate(axes_of.items())
            if path in trial.values
        ]
        is_best = result.best is not None and trial.number == result.best.number
        color = theme.accent if is_best else colors[1](colors[0](values[index]))
        axes.plot(*zip(*at, strict=True), color=color, linewidth=2.6 if is_best else 1.2)
    for x, (path, scale) in enumerate(axes_of.items()):
        axes.plot([x, x], [0, 1], color=theme.ink, linewidth=0.8, zorder=1)
        for tick, label in zip(scale.ticks, scale.labels, strict=True):
            axes.text(x + 0.02, tick, label, fontsize=7, va="center", color=theme.ink,
                      bbox={"facecolor": theme.paper, "edgecolor": "none", "pad": 0.6,
                            "alpha": 0.75})  # fmt: skip
        axes.text(x, 1.07, _short(path), ha="center", va="bottom", fontsize=8)
    axes.set(xlim=(-0.15, len(axes_of) - 0.6), ylim=(-0.06, 1.14))
    axes.set_axis_off()
    bar = figure.colorbar(_mappable(colors), ax=axes, shrink=0.85, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label(_label(result))
    if result.plan.metrics[0] == "val_accuracy":
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


def pareto(result: SweepResult, theme: Theme) -> Figure | None:
    """The first two metrics against each other, and the trials that none beats in both."""
    done = _valued(result, "complete")
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
    axes.set(xlabel=_name(second), ylabel=_label(result))
    _score_axis(axes, result)
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
    done = [t for t in _valued(result, "complete") if pair and set(pair) <= t.values.keys()]
    if pair is None or not done:
        return None
    ways, shots = (sorted({trial.values[path] for trial in done}) for path in pair)
    better = max if _maximized(result) else min
    grid = np.full((len(ways), len(shots)), np.nan)
    count = np.zeros(grid.shape, int)
    for trial in done:
        at = ways.index(trial.values[pair[0]]), shots.index(trial.values[pair[1]])
        value = trial.metrics[result.plan.metrics[0]]
        grid[at] = value if np.isnan(grid[at]) else better(grid[at], value)
        count[at] += 1
    figure = new_figure(height_in=max(2.2, 0.42 * len(ways) + 1.2))
    axes = figure.subplots()
    norm, cmap = _colors(theme, grid[np.isfinite(grid)])
    axes.imshow(grid, norm=norm, cmap=cmap, aspect="auto", origin="lower")
    for (row, column), value in np.ndenumerate(grid):
        if np.isfinite(value):
            dark = sum(cmap(norm(value))[:3]) < 1.5
            times = f" ×{count[row, column]}" if count[row, column] > 1 else ""
            axes.text(column, row, f"{_figure_text(result, value)}{times}", ha="center",
                      va="center", fontsize=8, color="#ffffff" if dark else "#1f2933")  # fmt: skip
    axes.set_xticks(range(len(shots)), [str(s) for s in shots])
    axes.set_yticks(range(len(ways)), [str(w) for w in ways])
    axes.grid(visible=False)
    axes.set(xlabel=_short(pair[1]), ylabel=_short(pair[0]))
    return figure


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
    """Powers of ten between two ends, and not so close to them that labels would overlap."""
    first, last = np.log10([low, high])
    room = 0.12 * (last - first)
    powers = range(int(np.floor(first)), int(np.ceil(last)) + 1)
    return [10.0**power for power in powers if first + room < power < last - room]


def _dimensions(result: SweepResult) -> dict[str, _Scale]:
    """Every setting that was searched, the most important first; none where trials changed them."""
    if result.plan.scheduler == "pbt":
        return {}
    distributions: dict[str, BaseDistribution] = {}
    for trial in result.study.get_trials(deepcopy=False):
        if trial.state != optuna.trial.TrialState.WAITING:
            distributions |= trial.distributions
    order = [*importances(result), *distributions]
    return {path: _Scale(distributions[path]) for path in dict.fromkeys(order)}


def _valued(result: SweepResult, state: str) -> list[TrialRecord]:
    name = result.plan.metrics[0]
    return [trial for trial in result.having(state) if trial.metrics.get(name) is not None]


def _points(result: SweepResult, trials: Sequence[TrialRecord]) -> tuple[Array, Array]:
    name = result.plan.metrics[0]
    x = np.array([trial.number for trial in trials], np.float64)
    return x, np.array([trial.metrics[name] for trial in trials], np.float64)


def _maximized(result: SweepResult) -> bool:
    return DIRECTIONS[result.plan.metrics[0]] == "maximize"


def _colors(theme: Theme, values: Array) -> tuple[Normalize, LinearSegmentedColormap]:
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    map_ = LinearSegmentedColormap.from_list("metric", [theme.other, theme.main])
    return Normalize(low, high if high > low else low + 1e-9), map_


def _mappable(colors: tuple[Normalize, LinearSegmentedColormap]) -> Any:
    from matplotlib.cm import ScalarMappable

    return ScalarMappable(*colors)


def _name(metric: str) -> str:
    return {
        "val_accuracy": "validation accuracy",
        "val_mse": "validation mean squared error",
        "val_loss": "validation loss",
        "adapt_s": "seconds to adapt to a task",
        "wall_s": "seconds of training",
    }[metric]


def _label(result: SweepResult) -> str:
    return _name(result.plan.metrics[0])


def _short(path: str) -> str:
    """``method.inner_lr`` without its section, unless that says something."""
    section, _, leaf = path.rpartition(".")
    return f"{section} {leaf}" if leaf in ("name", "width", "depth") else leaf


def _figure_text(result: SweepResult, value: float) -> str:
    return f"{value:.1%}" if result.plan.metrics[0] == "val_accuracy" else f"{value:.3g}"


def _score_axis(axes: Axes, result: SweepResult) -> None:
    if result.plan.metrics[0] == "val_accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        return
    low, high = axes.dataLim.y0, axes.dataLim.y1
    if 0 < 10 * low < high:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
