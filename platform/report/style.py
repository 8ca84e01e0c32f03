"""How figures look, on light and on dark pages, and how they become images.

A figure is drawn once, with the colors of ``LIGHT``. Its dark version is the same SVG with the
colors of ``DARK`` in their place: so plots use no other colors than those of the theme that they
are given, those of ``color_ramp``, and ones that suit both pages.
"""

from __future__ import annotations

import base64
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from metaray.algorithms.atomic import atomic_path

_PNG_DPI = 160
_SHADES = 48  # from 50 on, matplotlib makes a color bar a bitmap, which has no theme
_COLOR = re.compile(r"(?<=: )#[0-9a-f]{6}\b")


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours. The hues are Okabe and Ito's, told apart by colour-blind readers too."""

    paper: str
    ink: str
    grid: str
    main: str
    """the trained model"""
    other: str
    """the untrained model"""
    accent: str
    """validation"""
    right: str
    wrong: str
    on_main: str
    """text on patches of ``main``"""
    on_other: str
    """text on patches of ``other``"""
    series: tuple[str, ...]
    """lines that stand for one thing each, such as methods"""


LIGHT = Theme(
    paper="#ffffff",
    ink="#1f2933",
    grid="#e3e7ec",
    main="#0072b2",
    other="#8a94a0",
    accent="#d97900",
    right="#00875f",
    wrong="#c8450c",
    on_main="#fcfcfc",
    on_other="#1f2834",
    series=("#0072b2", "#d97900", "#00875f", "#c8450c", "#9a4f96", "#3aa0d8", "#8a7a00", "#5b6673"),
)
DARK = Theme(
    paper="#171c22",
    ink="#d8dee6",
    grid="#2d353f",
    main="#5ab4e8",
    other="#8e99a6",
    accent="#f0a83c",
    right="#35c99b",
    wrong="#ff8559",
    on_main="#1f2834",
    on_other="#1f2834",
    series=("#5ab4e8", "#f0a83c", "#35c99b", "#ff8559", "#d79bd2", "#8fd0f5", "#d9c94a", "#a9b4c0"),
)


def styled(theme: Theme) -> AbstractContextManager[None]:
    """Fonts, colors and lines of the figures that are drawn and saved in the block."""
    return mpl.rc_context(_settings(theme))


def color_ramp(theme: Theme) -> LinearSegmentedColormap:
    """Colors for the values of a metric, from low (``other``) to high (``main``)."""
    return LinearSegmentedColormap.from_list("metric", [theme.other, theme.main], N=_SHADES)


def new_figure(width_in: float = 4.5, height_in: float = 3.1) -> Figure:
    """An empty figure that lays out its axes; small, so that its text is read on a phone."""
    figure = new_canvas(width_in, height_in)
    figure.set_layout_engine("constrained")
    return figure


def new_canvas(width_in: float, height_in: float) -> Figure:
    """An empty figure with its own canvas: no pyplot, no window, no global state."""
    figure = Figure(figsize=(width_in, height_in))
    FigureCanvasAgg(figure)
    return figure


def svg_uris(figure: Figure) -> tuple[str, str]:
    """A figure in the colors of ``LIGHT`` as SVG for light and for dark pages, in data URIs.

    The same figure gives the same text.
    """
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", dpi=_PNG_DPI, metadata={"Date": None})
    light = buffer.getvalue().decode()
    dark = dark_colors()
    return _data_uri(light), _data_uri(_COLOR.sub(lambda m: dark.get(m[0], m[0]), light))


def dark_colors() -> dict[str, str]:
    """The color of ``DARK`` for each of ``LIGHT``, ramps included."""
    return dict(zip(_colors_of(LIGHT), _colors_of(DARK), strict=True))


def save_png(figure: Figure, title: str, path: Path) -> None:
    """Put a title over a figure that has been drawn, and save it, atomically."""
    figure.suptitle(title, y=1.02, va="bottom", fontsize=10, fontweight="bold")
    with atomic_path(path) as temporary:
        # tight: the title stands above the figure, which is the page's
        figure.savefig(temporary, format="png", dpi=_PNG_DPI, bbox_inches="tight")


def legend_above(axes: Axes) -> None:
    """A legend in one row over the axes, where no curve can run through it."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.2, columnspacing=1.4
    )


def log_if_it_helps(axes: Axes, values: NDArray[np.float64]) -> None:
    """A logarithmic y axis, in plain numbers, for values that span more than a factor of 30."""
    good = values[np.isfinite(values)]
    if len(good) and good.min() > 0 and good.max() / good.min() > 30:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())


def _colors_of(theme: Theme) -> list[str]:
    ramp = color_ramp(theme)
    own = [value for value in vars(theme).values() if isinstance(value, str)]
    return [*own, *theme.series, *(to_hex(ramp(shade)) for shade in range(_SHADES))]


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _settings(theme: Theme) -> dict[Any, Any]:
    return {
        "font.size": 9,
        "font.family": "DejaVu Sans",  # comes with matplotlib, and has the signs we use
        "text.color": theme.ink,
        "figure.facecolor": theme.paper,
        "axes.facecolor": theme.paper,
        "axes.edgecolor": theme.grid,
        "axes.labelcolor": theme.ink,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": theme.grid,
        "xtick.color": theme.ink,
        "ytick.color": theme.ink,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "ytick.minor.size": 0,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "lines.linewidth": 1.8,
        "svg.hashsalt": "metaray",
    }
