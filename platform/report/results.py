"""Plots of the meta-test: adaptation, spread over episodes, calibration, an example of a curve."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from metaray.platform.report.example import ExampleEpisode
from metaray.platform.report.record import Array, RunRecord
from metaray.platform.report.style import Theme, legend_above, log_if_it_helps, new_figure

_MOST_BARS = 30


def adaptation_curve(run: RunRecord, theme: Theme) -> Figure | None:
    """Score after each inner step, beside the untrained model's; None without an inner loop."""
    score, ci95 = run.by_step(f"{run.score_name}_by_step"), run.by_step("ci95_by_step")
    steps = run.by_step("reported_steps")
    if len(steps) < 2:
        return None
    figure = new_figure()
    axes = figure.subplots()
    axes.fill_between(steps, score - ci95, score + ci95, color=theme.main, alpha=0.2, linewidth=0)
    axes.plot(steps, score, "o-", markersize=4, color=theme.main, label=run.subject)
    baseline = run.by_step(f"baseline_{run.score_name}_by_step")
    if len(baseline) == len(steps):
        axes.plot(steps, baseline, "s--", markersize=4, color=theme.other, label="untrained")
    if run.chance is not None:
        axes.axhline(run.chance, color=theme.ink, linewidth=0.8, linestyle=":", label="guessing")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_ylim(0, 1.01)
    else:
        log_if_it_helps(axes, score)
    axes.set_xticks(_few(steps))
    axes.set(xlabel="inner gradient steps", ylabel=_score_label(run))
    legend_above(axes)
    return figure


def episode_histogram(run: RunRecord, theme: Theme) -> Figure | None:
    """How the score is spread over test episodes."""
    score = run.per_episode(run.score_name)
    key = f"baseline_{run.score_name}"
    baseline = None if run.is_as_it_began else run.per_episode(key)
    if score is None:
        return None
    figure = new_figure()
    axes = figure.subplots()
    both = score if baseline is None else np.concatenate([score, baseline])
    if run.is_regression:
        edges = _log_edges(both)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    else:
        edges = _accuracy_edges(both, run.shape.query_size)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.hist(score, edges.tolist(), color=theme.main, alpha=0.75, label=run.subject)
    if baseline is not None:
        axes.hist(
            baseline,
            edges.tolist(),
            color=theme.other,
            histtype="step",
            linewidth=1.5,
            label="untrained",
        )
    axes.axvline(run.score, color=theme.main, linestyle="--", linewidth=1.2, label="mean")
    axes.set(xlabel=f"{_score_label(run)} of an episode", ylabel="episodes")
    legend_above(axes)
    return figure


def calibration(run: RunRecord, theme: Theme) -> Figure | None:
    """Accuracy against confidence (above), and how often each confidence occurs (below)."""
    bins = run.summary.get("calibration")
    if not bins:
        return None
    figure = new_figure()
    diagram, counts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    edges = np.linspace(0, 1, len(bins) + 1)
    accuracy = np.array([np.nan if b[1] is None else b[1] for b in bins])
    confidence = np.array([np.nan if b[0] is None else b[0] for b in bins])
    width = edges[1]
    diagram.bar(edges[:-1], accuracy, width, align="edge", color=theme.main, alpha=0.3)
    diagram.plot(confidence, accuracy, "o", color=theme.main, markersize=4, label="predictions")
    diagram.plot([0, 1], [0, 1], "--", color=theme.ink, linewidth=0.9, label="ideal")
    diagram.set(ylabel="accuracy", ylim=(0, 1.02), xlim=(0, 1))
    legend_above(diagram)
    counts.bar(edges[:-1], _shares(bins), width, align="edge", color=theme.other)
    counts.set(xlabel="confidence", ylabel="share")
    for axis in (diagram.yaxis, counts.yaxis, counts.xaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    return figure


def rejection(run: RunRecord, theme: Theme) -> Figure | None:
    """What each threshold wrongly accepts, against what it wrongly rejects."""
    rule = None if run.calibration is None else run.calibration.refusal
    if rule is None:
        return None
    figure = new_figure()
    axes = figure.subplots()
    curve = np.array(rule.curve)
    axes.plot(curve[:, 1], curve[:, 2], color=theme.main, label="thresholds")
    axes.plot(rule.wrongly_refused, rule.wrongly_accepted, "o", color=theme.accent, label="chosen")
    axes.set(xlabel="wrongly rejected", ylabel="wrongly accepted", xlim=(0, None), ylim=(0, 1.02))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    legend_above(axes)
    return figure


def example_curve(example: ExampleEpisode, theme: Theme) -> Figure:
    """The function of one regression task: true, predicted, and the points that were given."""
    figure = new_figure(6.4, 3.2)
    axes = figure.subplots()
    order = example.query_x[:, 0].argsort()
    x = example.query_x[order, 0]
    axes.plot(x, example.query_y[order, 0], color=theme.other, linestyle="--", label="true")
    axes.plot(x, example.predicted[order, 0], color=theme.main, label="predicted")
    axes.plot(
        example.support_x[:, 0],
        example.support_y[:, 0],
        "o",
        color=theme.accent,
        label="given examples",
    )
    axes.set(xlabel="x", ylabel="y")
    legend_above(axes)
    return figure


def _score_label(run: RunRecord) -> str:
    return "mean squared error" if run.is_regression else "accuracy"


def _few(steps: Array) -> Array:
    return steps[:: max(1, len(steps) // 10)]


def _accuracy_edges(values: Array, queries: int) -> Array:
    """Edges half-way between the accuracies that ``queries`` queries can give."""
    lowest = int(np.floor(values.min() * queries))
    per_bar = max(1, round((queries - lowest) / _MOST_BARS))
    first = queries - per_bar * int(np.ceil((queries - lowest + 1) / per_bar))
    return (np.arange(first, queries + 1, per_bar) + 0.5) / queries


def _log_edges(values: Array) -> Array:
    good = values[values > 0]
    low, high = (good.min(), good.max()) if len(good) else (0.1, 1.0)
    return np.geomspace(low * 0.95, high * 1.05, _MOST_BARS + 1)


def _shares(bins: list[list[float]]) -> Array:
    counts = np.array([b[2] for b in bins], np.float64)
    return np.asarray(counts / counts.sum())
