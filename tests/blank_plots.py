"""Plots that are not drawn, which is most of the time of a run of a second.

The functions of plots run. Their axes take everything, and hold nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from children.blank_figure import BLANK


@contextmanager
def nothing_drawn() -> Iterator[None]:
    """In this process, the files of plots are there, and blank."""
    from matplotlib.figure import Figure

    with pytest.MonkeyPatch.context() as patch:
        for name, method in BLANK.items():
            patch.setattr(Figure, name, method)
        yield
