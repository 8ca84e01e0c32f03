"""The one writer of pages: it draws plots, as files and for the page, and fills a template.

Every page is one HTML file that needs no other. Its template extends ``base.html.jinja`` and
builds its own sections from the macros in ``parts.jinja``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from metaray.algorithms.atomic import write_text
from metaray.algorithms.errors import write_error
from metaray.platform.common.formatting import margin, score
from metaray.platform.report.style import LIGHT, Theme, save_png, styled, svg_uris


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A plot of a page, which is also written to ``plots/NAME.png``."""

    name: str
    title: str
    caption: str
    draw: Callable[[Theme], Figure | None]
    """None where there is nothing to plot"""
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Image:
    """A plot as a page shows it: one image for a light page, one for a dark page."""

    title: str
    caption: str
    light: str
    dark: str
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A score beside those to compare it with."""

    label: str
    text: str
    interval: str
    length: float
    """in percent of the track"""
    style: str
    """``main``, ``other`` or ``chance``"""


def draw_images(plots: Iterable[Plot], folder: Path) -> list[Image]:
    """Draw each plot once, write its PNG into ``folder``, and return it for a page.

    Where a plot has nothing to show, an older PNG of it is removed.
    """
    folder.mkdir(exist_ok=True)
    return [image for plot in plots if (image := _image(plot, folder)) is not None]


def _image(plot: Plot, folder: Path) -> Image | None:
    path = folder / f"{plot.name}.png"
    with styled(LIGHT):
        figure = plot.draw(LIGHT)
        if figure is None:
            path.unlink(missing_ok=True)
            return None
        light, dark = svg_uris(figure)
        figure.set_layout_engine("none")  # it is laid out, which takes as long as drawing
        save_png(figure, plot.title, path)
    return Image(title=plot.title, caption=plot.caption, light=light, dark=dark, wide=plot.wide)


def score_bars(
    rows: Sequence[tuple[str, float, float | None, str]], *, is_error: bool = False
) -> list[Bar]:
    """Bars for rows of label, score, half of its 95 % interval, and style.

    Accuracies fill their share of the track; errors fill it in proportion to the largest.
    """
    full = max((value for _, value, _, _ in rows), default=1.0) if is_error else 1.0
    return [
        Bar(
            label=label,
            text=score(value, is_error=is_error),
            interval=margin(ci95, is_error=is_error),
            length=round(100 * value / max(full, 1e-12), 2),
            style=style,
        )
        for label, value, ci95, style in rows
    ]


def link(page: Path, folder: Path) -> str:
    """The address of ``page`` from a page in ``folder`` above it; empty where there is none yet.

    >>> link(Path("night/trials/0001/report.html"), Path("night"))
    ''
    """
    return quote(page.relative_to(folder).as_posix()) if page.is_file() else ""


def write_page(path: Path, package: str, template: str, **values: Any) -> None:
    """Fill a template and write the page to ``path``, atomically."""
    write_text(path, render(package, template, **values))


def render(package: str, template: str, **values: Any) -> str:
    """Fill ``template``, which lies in ``package`` and may use the templates of this one."""
    return _templates(package).get_template(template).render(**values)


@cache
def _templates(package: str) -> Environment:
    """Those of ``package`` and of this one, which are compiled once."""
    loaders = [PackageLoader(name, ".") for name in (package, __package__ or "")]
    return Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@contextmanager
def writing(what: str, folder: Path, then: str) -> Iterator[None]:
    """Turn a failure to write into one sentence.

    Args:
        what: what is written, such as ``the report``.
        folder: where it is written.
        then: what to do once there is room, such as ``run metaray evaluate runs/maml``.

    Raises:
        DiskError: the disk is full or read-only.
        InputError: the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        remedy = f"make room or make it writable, then {then}"
        raise write_error(f"{what} in {folder}", error, remedy) from error
