"""In place of what is slow of matplotlib's ``Figure``; it imports nothing, as every process of a
test loads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class _Anything:
    """Stands for what a plot asks of axes: it can be called, asked and iterated, and is empty."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return _Anything()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything()

    def __iter__(self) -> Iterator[Any]:
        return iter(())


class _BlankAxes(_Anything):
    """Axes that hold nothing."""

    def __init__(self, figure: Any) -> None:
        self.figure = figure

    def get_legend_handles_labels(self) -> tuple[list[Any], list[str]]:
        return [], []


def savefig(figure: Any, target: Any, **options: Any) -> None:
    """The file is there, and blank."""
    blank = b"<svg/>"
    if hasattr(target, "write"):
        target.write(blank)
        return
    with open(target, "wb") as file:
        file.write(blank)


def subplots(
    figure: Any, nrows: int = 1, ncols: int = 1, *, squeeze: bool = True, **options: Any
) -> Any:
    """As many axes as were asked for, in the same shape."""
    import numpy as np

    grid = np.empty((nrows, ncols), dtype=object)
    for place in np.ndindex(grid.shape):
        grid[place] = _BlankAxes(figure)
    if not squeeze:
        return grid
    return grid.item() if grid.size == 1 else grid.squeeze()


def add_axes(figure: Any, *args: Any, **options: Any) -> Any:
    return _BlankAxes(figure)


def colorbar(figure: Any, *args: Any, **options: Any) -> Any:
    return _Anything()


BLANK = {"savefig": savefig, "subplots": subplots, "add_axes": add_axes, "colorbar": colorbar}
"""methods of ``Figure``"""
