"""An image of one episode: what a method sees, and what it has to predict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from metaray.algorithms.errors import InputError, write_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from metaray.algorithms.episode import Episode

_CELL_IN = 0.45  # inches per image
_NAME_IN = 2.6  # inches for the names of the classes
_SUPPORT, _QUERY, _LINE = "#1f6fb4", "#555555", "#cccccc"


def draw_episode(episode: Episode, names: Sequence[str], path: Path) -> None:
    """Write a PNG: a row per class with its name, support left, query right; a curve if sinusoid.

    ``names`` are those of the labels, in order.

    Raises:
        InputError: ``path`` cannot be written, or the examples are vectors.
    """
    if episode.support_x.ndim == 2 and not episode.support_y.is_floating_point():
        raise InputError(
            f"the examples are vectors of {episode.support_x.shape[1]} numbers, of which there is "
            "no image: choose a data set of images"
        )
    is_regression = episode.support_y.is_floating_point()
    figure = _curve(episode, names[0]) if is_regression else _sheet(episode, names)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130, format="png", bbox_inches="tight")
    except OSError as error:
        raise write_error(f"the image {path}", error, "choose another file with --out") from error


def _new_figure(width_in: float, height_in: float) -> Figure:
    figure = Figure(figsize=(width_in, height_in), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display and without pyplot's global state
    return figure


def _sheet(episode: Episode, names: Sequence[str]) -> Figure:
    support = _by_label(episode.support_x, episode.support_y, len(names))
    query = _by_label(episode.query_x, episode.query_y, len(names))
    columns = support.shape[1] + query.shape[1]
    figure = _new_figure(_NAME_IN + _CELL_IN * (columns + 1), _CELL_IN * len(names) + 0.5)
    left, right = figure.subplots(1, 2, width_ratios=[support.shape[1], query.shape[1]])
    _tile(left, support, "support", _SUPPORT)
    _tile(right, query, "query", _QUERY)
    height = support.shape[2]
    centres = [height * (label + 0.5) - 0.5 for label in range(len(names))]
    left.set_yticks(centres, [f"{name}  {label}" for label, name in enumerate(names)], fontsize=8)
    return figure


def _by_label(x: Tensor, y: Tensor, ways: int) -> NDArray[np.float32]:
    """Images ``[ways, n, H, W, C]``, those of label i in row i."""
    rows = x[y.argsort(stable=True)].permute(0, 2, 3, 1)
    grouped: NDArray[np.float32] = rows.reshape(ways, -1, *rows.shape[1:]).numpy()
    return grouped


def _tile(axes: Axes, images: NDArray[np.float32], title: str, color: str) -> None:
    """All images of one set as a grid, ink dark on white if they are grey."""
    ways, columns, height, width, channels = images.shape
    mosaic = images.transpose(0, 2, 1, 3, 4).reshape(ways * height, columns * width, channels)
    if channels == 1:
        axes.imshow(mosaic[..., 0], cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    else:
        axes.imshow(mosaic, interpolation="nearest")
    axes.set_title(title, fontsize=9, color=color)
    for column in range(1, columns):
        axes.axvline(width * column - 0.5, color=_LINE, linewidth=0.6)
    for row in range(1, ways):
        axes.axhline(height * row - 0.5, color=_LINE, linewidth=0.6)
    axes.set(xticks=[], yticks=[])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set(color=color, linewidth=1.2)


def _curve(episode: Episode, name: str) -> Figure:
    figure = _new_figure(6.0, 3.6)
    axes = figure.subplots()
    axes.plot(episode.query_x[:, 0], episode.query_y[:, 0], "x", color=_QUERY, label="query")
    axes.plot(
        episode.support_x[:, 0], episode.support_y[:, 0], "o", color=_SUPPORT, label="support"
    )
    axes.set(title=name, xlabel="x", ylabel="y")
    axes.legend()
    return figure
