"""The table of a comparison as text: the same cells on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from rich.table import Table

from metaray.platform.compare.paired import Difference
from metaray.platform.compare.results import Results, Row

_UNITS = ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (float("inf"), 1.0, "s"))


def score_columns(results: Results) -> list[str]:
    """Headings of the scores; those of significance only where two entries are compared."""
    several = len(results.rows) > 1
    with_seeds = any(row.difference and row.difference.p_seeds is not None for row in results.rows)
    return [
        "method",
        "MSE" if results.is_regression else "accuracy %",
        *(["SD of seeds"] if any(row.score.seed_sd is not None for row in results.rows) else []),
        *([f"to {results.reference}", "p, t", "p, Wilcoxon"] if several else []),
        *(["p, seeds"] if with_seeds else []),
        *([] if results.is_regression else ["batch norm"]),
    ]


COST_COLUMNS = (
    "method", "train time", "steps", "tasks/s", "adaptation", "memory", "parameters"
)  # fmt: skip


def cells(results: Results, row: Row, headings: Sequence[str]) -> list[str]:
    """One text for each heading."""
    score, difference, figures = row.score, row.difference, row.figures()
    by_heading = {
        "method": row.name,
        "MSE": f"{score.mean:.4g} ± {score.ci95:.2g}",
        "accuracy %": f"{100 * score.mean:.2f} ± {100 * score.ci95:.2f}",
        "SD of seeds": _spread(results, score.seed_sd),
        f"to {results.reference}": _difference(results, difference),
        "p, t": _p(difference.p_t if difference else None),
        "p, Wilcoxon": _p(difference.p_wilcoxon if difference else None),
        "p, seeds": _p(difference.p_seeds if difference else None),
        "batch norm": str(figures["batch_norm"]),
        "train time": _duration(figures["train_s"]),
        "steps": _number(figures["outer_steps"], ",.0f"),
        "tasks/s": _number(figures["tasks_per_s"], ",.4g"),
        "adaptation": seconds_text(figures["adaptation_s"]),
        "memory": _megabytes(figures["peak_memory_bytes"]),
        "parameters": f"{figures['num_parameters']:,}",
    }
    return [by_heading[heading] for heading in headings]


def terminal_tables(results: Results) -> list[Table]:
    """Scores and costs, each narrow enough for a terminal."""
    tables = []
    for headings in (score_columns(results), COST_COLUMNS):
        table = Table(box=None, pad_edge=False)
        for heading in headings:
            is_text = heading in ("method", "batch norm")
            table.add_column(heading, justify="left" if is_text else "right")
        for row in results.rows:
            table.add_row(*cells(results, row, headings))
        tables.append(table)
    return tables


def seconds_text(seconds: float) -> str:
    """Three digits and a unit."""
    factor, unit = next((f, u) for limit, f, u in _UNITS if seconds < limit)
    return f"{seconds * factor:.3g} {unit}"


def _spread(results: Results, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2g}" if results.is_regression else f"{100 * value:.2f}"


def _difference(results: Results, difference: Difference | None) -> str:
    if difference is None:
        return "–"
    if results.is_regression:
        return f"{difference.mean:+.4g} ± {difference.ci95:.2g}"
    return f"{100 * difference.mean:+.2f} ± {100 * difference.ci95:.2f}"


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _duration(seconds: float | None) -> str:
    if seconds is None or seconds >= 120:
        return "" if seconds is None else str(timedelta(seconds=round(seconds)))
    return f"{seconds:.1f} s"


def _megabytes(size: int | None) -> str:
    return "–" if size is None else f"{size / 2**20:,.0f} MB"
