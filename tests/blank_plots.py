"""Plots that are not drawn, which is most of the time of a run of a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from blank_children.blank_savefig import savefig


@contextmanager
def nothing_drawn() -> Iterator[None]:
    """In this process, the files of plots are there, and blank."""
    from matplotlib.figure import Figure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        yield
