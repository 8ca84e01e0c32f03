"""How results look in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from metaray.algorithms.episode_shape import shape_label
from metaray.platform.common.formatting import score_with_margin


def html_table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """A small table of names and values under a title."""
    lines = "".join(
        f'<tr><td style="text-align:left">{escape(name)}</td>'
        f'<td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in rows
        if value
    )
    return f"<strong>{escape(title)}</strong><table>{lines}</table>"


def score_text(summary: Mapping[str, Any]) -> str:
    """``accuracy 63.20 % ± 0.85``, or the mean squared error of a regression."""
    if summary.get("accuracy") is None:
        text = score_with_margin(summary["mse"], summary["ci95"], is_error=True)
        return f"mean squared error {text}"
    return f"accuracy {score_with_margin(summary['accuracy'], summary['ci95'])}"


def result_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The result of a test as names and values."""
    shape = shape_label(summary["ways"], summary["shots"]) if "ways" in summary else ""
    shape += " within a group" if summary.get("within_group") else ""
    shape += ", quarter turns as classes" if summary.get("test_rotations") == "classes" else ""
    episodes = summary.get("num_episodes")
    return [
        ("result", score_text(summary)),
        ("episodes", shape),
        ("test episodes", "" if episodes is None else f"{episodes:,}"),
        ("batch norm", str(summary.get("batch_norm") or "")),
    ]
