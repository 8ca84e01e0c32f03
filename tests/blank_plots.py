"""Plots that are not drawn, which is most of the time of a run of a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def nothing_drawn() -> Iterator[None]:
    """In this process, the files of plots are there, and blank."""
    from matplotlib.figure import Figure

    def savefig(figure: Figure, target: Any, **options: Any) -> None:
        blank = b"<svg/>"
        if hasattr(target, "write"):
            target.write(blank)
        else:
            Path(target).write_bytes(blank)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        yield
