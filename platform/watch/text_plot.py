"""Curves as text, in the eight dots of a braille character."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from rich.text import Text

from metaray.platform.common.formatting import percent
from metaray.platform.watch.snapshot import Curve, Plot, Points

STYLES = ("cyan", "yellow", "green", "magenta", "blue", "red")
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row, by column
_BLANK = 0x2800


def text_plot(plot: Plot, width: int, height: int) -> Text:
    """``plot`` in ``height`` lines and about ``width`` columns, with its range and its legend."""
    xs, ys = zip(*(point for curve in plot.curves for point in curve.points), strict=True)
    low, high = min(ys), max(ys)
    labels = [_number(value, plot.is_share) for value in (high, low)]
    margin = max(map(len, labels))
    columns = max(8, width - margin - 1)
    cells: dict[tuple[int, int], tuple[int, str]] = {}
    for curve, style in zip(plot.curves, _styles(), strict=False):
        for x, y in _dots(curve.points, (min(xs), max(xs)), (low, high), 2 * columns, 4 * height):
            at = (y // 4, x // 2)
            cells[at] = (cells.get(at, (0, ""))[0] | _DOTS[y % 4][x % 2], style)
    text = Text(plot.title, style="bold", no_wrap=True)
    for curve, style in zip(plot.curves[: len(STYLES)], STYLES, strict=False):
        text.append(f"  {curve.name} {_last(curve, plot.is_share)}", style=f"not bold {style}")
    for row in range(height):
        label = labels[0] if row == 0 else labels[1] if row == height - 1 else ""
        text.append(f"\n{label:>{margin}} ", style="not bold dim")
        for column in range(columns):
            dots, style = cells.get((row, column), (0, ""))
            text.append(chr(_BLANK + dots) if dots else " ", style=f"not bold {style}")
    return text


def _styles() -> Iterator[str]:
    while True:
        yield from STYLES


def _dots(
    points: Points, x_range: tuple[float, float], y_range: tuple[float, float], wide: int, high: int
) -> Iterator[tuple[int, int]]:
    """The dots of the lines between points; y counts from the top."""
    placed = [(_place(x, x_range, wide), high - 1 - _place(y, y_range, high)) for x, y in points]
    yield placed[0]
    for (x0, y0), (x1, y1) in pairwise(placed):
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for step in range(1, steps + 1):
            yield x0 + round(step * (x1 - x0) / steps), y0 + round(step * (y1 - y0) / steps)


def _place(value: float, between: tuple[float, float], size: int) -> int:
    low, high = between
    return round((value - low) / (high - low) * (size - 1)) if high > low else size // 2


def _last(curve: Curve, is_share: bool) -> str:
    return _number(curve.points[-1][1], is_share)


def _number(value: float, is_share: bool) -> str:
    return percent(value, 1) if is_share else f"{value:.4g}"
