"""What a test says of each class, as plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from metaray.platform.report.record import Array
from metaray.platform.report.style import Theme, new_figure

_MOST_NAMED = 20  # classes whose names fit beside a plot
_LONGEST = 24  # letters of a name
_BAR_IN = 0.22


def confusion_matrix(shares: Array, names: Sequence[str], theme: Theme) -> Figure:
    """Share of each class (row) that was taken for each (column); NaN stays empty."""
    figure = new_figure(5.0, 4.4)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.grid(False)
    if len(names) <= _MOST_NAMED:
        ticks, texts = range(len(names)), [_cut(name) for name in names]
        axes.set_xticks(ticks, texts, rotation=60, ha="right", fontsize=7)
        axes.set_yticks(ticks, texts, fontsize=7)
        for y, x in np.argwhere(shares >= 0.05):
            color = "#fafafa" if shares[y, x] > 0.5 else theme.on_other
            axes.text(x, y, f"{100 * shares[y, x]:.0f}", ha="center", va="center", fontsize=6,
                      color=color)  # fmt: skip
    axes.set(xlabel="predicted", ylabel="class")
    return figure


def class_accuracy(by_name: Mapping[str, float], theme: Theme) -> Figure | None:
    """A bar for each class, the hardest first; of many classes, how many have which accuracy."""
    if not by_name:
        return None
    names, values = zip(*sorted(by_name.items(), key=lambda pair: pair[1]), strict=True)
    if len(names) > _MOST_NAMED:
        figure = new_figure()
        axes = figure.subplots()
        axes.hist(values, bins=20, range=(0, 1), color=theme.main, alpha=0.75)
        axes.set(xlabel="accuracy of a class", ylabel="classes")
    else:
        figure = new_figure(4.5, max(1.6, 0.8 + _BAR_IN * len(names)))
        axes = figure.subplots()
        places = range(len(names))
        axes.barh(places, values, color=theme.main, alpha=0.75, height=0.7)
        axes.set_yticks(places, [_cut(name) for name in names], fontsize=7)
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.set(xlabel="accuracy")
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
