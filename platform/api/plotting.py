"""The curves of a run as one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from metaray.platform.report.record import MetricsTable
from metaray.platform.report.style import LIGHT, new_figure, styled
from metaray.platform.report.transfer_plots import draw_curve

_WIDTH_IN = 4.5


def curves_figure(rows: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Loss and accuracy over the steps of ``metrics.jsonl``; None without any step."""
    metrics = MetricsTable(rows)
    keys = [key for key in ("loss", "accuracy") if metrics.has(key)]
    if not keys:
        return None
    with styled(LIGHT):
        figure = new_figure(_WIDTH_IN * len(keys))
        for axes, key in zip(figure.subplots(1, len(keys), squeeze=False)[0], keys, strict=True):
            draw_curve(axes, metrics, key, LIGHT)
    return figure
