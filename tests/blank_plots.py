"""Plots that are not drawn, which is most of the time of a run of a second.

The functions of plots run. Their axes take everything, and hold nothing.
"""

from __future__ import annotations

from typing import Any

from children.blank_figure import BLANK

_drawing: dict[str, Any] = {}
"""the methods of ``Figure`` as they are"""


def draw(is_wanted: bool) -> None:
    """From now on, draw the plots of this process, or write blank files in their place."""
    from matplotlib.figure import Figure

    for name, blank in BLANK.items():
        _drawing.setdefault(name, getattr(Figure, name))
        setattr(Figure, name, _drawing[name] if is_wanted else blank)
