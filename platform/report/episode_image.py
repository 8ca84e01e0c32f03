"""An image of one test episode: what the model was shown, and what it made of the queries."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from metaray.platform.common.formatting import percent
from metaray.platform.report.example import ExampleEpisode
from metaray.platform.report.style import Theme, new_canvas

_MOST_CLASSES, _MOST_QUERIES = 10, 6
_SHOTS_IN_A_ROW, _MOST_ROWS = 5, 4  # of the support images of a class
_MOST_SHOTS = _SHOTS_IN_A_ROW * _MOST_ROWS
# Lengths in widths of an image of the episode; the whole is one pair of axes in that unit.
_LETTER, _SPACE, _GAP, _LABEL, _HEAD = 0.4, 0.14, 0.4, 0.32, 0.36
_CELL_IN = 0.62


def episode_image(example: ExampleEpisode, theme: Theme) -> Figure:
    """A row per class: support images left, then queries with their prediction.

    Large episodes are cut to the first classes, shots and queries, right or wrong as they come.
    """
    classes = range(min(example.num_classes, _MOST_CLASSES))
    support = [np.flatnonzero(example.support_y == c)[:_MOST_SHOTS] for c in classes]
    queries = [np.flatnonzero(example.query_y == c)[:_MOST_QUERIES] for c in classes]
    column = 1 + _SPACE
    most = max(map(len, support))
    lines = -(-most // _SHOTS_IN_A_ROW)
    first_query = _LETTER + min(most, _SHOTS_IN_A_ROW) * column + _GAP
    width = first_query + max(map(len, queries)) * column
    height = lines * column + _LABEL
    axes = _sheet(width, _HEAD + len(classes) * height)
    axes.text(_LETTER, 0, "shown", va="top", fontsize=8)
    axes.text(first_query, 0, "asked, with the prediction", va="top", fontsize=8)
    for label in classes:
        top = _HEAD + label * height
        axes.text(0, top + 0.5, class_letter(label), va="center", fontsize=11, fontweight="bold")
        for i, index in enumerate(support[label]):
            line, place = divmod(i, _SHOTS_IN_A_ROW)
            left = _LETTER + place * column
            _image(axes, example.support_x[index], left, top + line * column, theme.other)
        for i, index in enumerate(queries[label]):
            _query(axes, example, int(index), first_query + i * column, top, theme)
    figure = axes.figure
    assert isinstance(figure, Figure)
    return figure


def is_cut(example: ExampleEpisode) -> bool:
    """Whether the image leaves out a part of the episode."""
    queries = np.bincount(example.query_y.astype(np.int64))
    shots = np.bincount(example.support_y.astype(np.int64))
    return bool(
        example.num_classes > _MOST_CLASSES
        or queries.max() > _MOST_QUERIES
        or shots.max() > _MOST_SHOTS
    )


def class_letter(label: int) -> str:
    """A, B, ... Z, then numbers: short enough for under an image."""
    return chr(ord("A") + label) if label < 26 else str(label + 1)


def _sheet(width: float, height: float) -> Axes:
    """Axes over a whole figure, from the upper left, in widths of an image."""
    figure = new_canvas(width * _CELL_IN, height * _CELL_IN)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    return axes


def _query(
    axes: Axes, example: ExampleEpisode, index: int, left: float, top: float, theme: Theme
) -> None:
    predicted = int(example.predicted[index])
    is_right = predicted == int(example.query_y[index])
    color = theme.right if is_right else theme.wrong
    _image(axes, example.query_x[index], left, top, color)
    confidence = example.confidence(index)
    share = "" if confidence is None else f" {percent(confidence, 0)}"
    text = f"{'✓' if is_right else '✗'} {class_letter(predicted)}{share}"
    weight = "normal" if is_right else "bold"
    axes.text(
        left + 0.5,
        top + 1.06,
        text,
        ha="center",
        va="top",
        fontsize=7.5,
        color=color,
        fontweight=weight,
    )


def _image(axes: Axes, image: NDArray[Any], left: float, top: float, color: str) -> None:
    """One image ``[C, H, W]`` in a frame; grey ones as dark ink on white, on any paper."""
    pixels = image.transpose(1, 2, 0).clip(0, 1)
    if pixels.shape[-1] == 1:
        pixels = np.repeat(1 - pixels, 3, axis=-1)
    extent = (left, left + 1, top + 1, top)
    axes.imshow(pixels, extent=extent, aspect="auto", interpolation="nearest")
    frame = Rectangle((left, top), 1, 1, fill=False, edgecolor=color, linewidth=2, clip_on=False)
    axes.add_patch(frame)
