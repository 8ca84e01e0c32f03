"""What the examples of pages show: `from page_output import svg`, in lines that pages hide."""

from __future__ import annotations

import html
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def svg(figure: Figure, text: str) -> str:
    """``figure`` as it stands in a page; ``text`` says what it shows, for screen readers."""
    import matplotlib.pyplot as plt

    # The salt makes the same page of the same figure; names in it differ between figures.
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": text}), io.StringIO() as file:
        figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
        drawn = file.getvalue()
    plt.close(figure)
    label = html.escape(text, quote=True)
    drawn = drawn[drawn.index("<svg") :]
    return f'<figure class="plot" role="img" aria-label="{label}">{drawn}</figure>'
