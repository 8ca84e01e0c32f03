"""The test by ways and by shots, where these vary from episode to episode, as plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from metaray.platform.common.formatting import span
from metaray.platform.report.style import Theme, legend_above, new_figure


def accuracy_by(
    bins: Sequence[Mapping[str, Any]], label: str, theme: Theme, guessing: bool = False
) -> Figure | None:
    """Accuracy in each bin with its 95 % interval; None with fewer than two bins.

    Args:
        bins: ``by_ways`` or ``by_shots`` of a summary.
        label: what they count.
        theme: colors.
        guessing: whether to draw the accuracy of guessing among so many classes.
    """
    if len(bins) < 2:
        return None
    figure = new_figure()
    axes = figure.subplots()
    places = range(len(bins))
    axes.errorbar(
        places,
        [one["accuracy"] for one in bins],
        yerr=[one["ci95"] or 0.0 for one in bins],
        fmt="o-",
        color=theme.main,
        markersize=5,
        capsize=3,
        label="tested",
    )
    if guessing:
        chance = [2 / (one["from"] + one["to"]) for one in bins]
        axes.plot(places, chance, ":", color=theme.ink, linewidth=0.8, label="guessing")
    axes.set_xticks(places, [span(one["from"], one["to"]) for one in bins])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set(xlabel=label, ylabel="accuracy", ylim=(0, 1.02))
    legend_above(axes)
    return figure
