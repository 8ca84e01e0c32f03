"""What a population did, as a plot."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from metaray.platform.report.style import Theme, legend_above, new_figure
from metaray.platform.sweep.results import SweepResult


def rates(result: SweepResult, theme: Theme) -> Figure | None:
    """The rates behind each trial's parameters over the outer steps; None without a population."""
    trials = [trial for trial in result.trials if trial.lineage]
    if not trials:
        return None
    paths = list(trials[0].lineage[0][1])
    figure = new_figure(9.4, 3.0)
    grid = figure.subplots(1, len(paths), squeeze=False)
    best = result.best.number if result.best else None
    for axes, path in zip(grid.flat, paths, strict=True):
        for trial in sorted(trials, key=lambda t: t.number == best):
            is_best = trial.number == best
            steps = [*(step for step, _ in trial.lineage), trial.step]
            values = [at[path] for _, at in trial.lineage]
            axes.step(
                steps,
                [*values, values[-1]],
                where="post",
                color=theme.accent if is_best else theme.other,
                linewidth=2.4 if is_best else 1.0,
                alpha=1.0 if is_best else 0.7,
                label="best" if is_best else None,
            )
        axes.set_yscale("log")
        for at in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            at(FuncFormatter(lambda y, _: f"{y:.2g}"))
        axes.set(xlabel="outer step")
        axes.set_title(path.rpartition(".")[2], loc="right", fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        if best is not None:
            legend_above(axes)
    return figure
