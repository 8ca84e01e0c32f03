"""The table of a comparison as text: the same cells on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from metaray.platform.common.formatting import duration, margin, megabytes, number, short_time
from metaray.platform.compare.directory import CompareDirectory
from metaray.platform.compare.paired import Difference
from metaray.platform.compare.results import EntryResult, Results
from metaray.platform.compare.words import verdict


def score_columns(results: Results) -> list[str]:
    """Headings of the scores; those of significance only where two entries are compared."""
    several = len(results.rows) > 1
    with_seeds = any(row.difference and row.difference.p_seeds is not None for row in results.rows)
    with_classes = any(row.mean("classes_ci95") is not None for row in results.rows)
    return [
        "method",
        "MSE" if results.is_regression else "accuracy %",
        *(["over classes"] if with_classes else []),
        *(["SD of seeds"] if any(row.score.seed_sd is not None for row in results.rows) else []),
        *([f"to {results.reference}", "p, t", "p, Wilcoxon"] if several else []),
        *(["p, seeds"] if with_seeds else []),
        *([] if results.is_regression else ["batch norm"]),
    ]


COST_COLUMNS = (
    "method", "train time", "steps", "tasks/s", "adaptation", "memory", "parameters"
)  # fmt: skip


def cells(results: Results, row: EntryResult, headings: Sequence[str]) -> list[str]:
    """One text for each heading."""
    score, difference, metrics = row.score, row.difference, row.metrics()
    by_heading = {
        "method": row.name,
        "MSE": f"{score.mean:.4g} {margin(score.ci95, is_error=True)}",
        "accuracy %": f"{100 * score.mean:.2f} {margin(score.ci95)}",
        "over classes": margin(row.mean("classes_ci95")) or "–",
        "SD of seeds": _spread(results, score.seed_sd),
        f"to {results.reference}": _difference(results, difference),
        "p, t": _p(difference.p_t if difference else None),
        "p, Wilcoxon": _p(difference.p_wilcoxon if difference else None),
        "p, seeds": _p(difference.p_seeds if difference else None),
        "batch norm": str(metrics["batch_norm"]),
        "train time": duration(metrics["train_s"]),
        "steps": number(metrics["outer_steps"], ",.0f"),
        "tasks/s": number(metrics["tasks_per_s"], ",.4g"),
        "adaptation": short_time(metrics["adaptation_s"]),
        "memory": megabytes(metrics["peak_memory_bytes"]) or "–",
        "parameters": f"{metrics['num_parameters']:,}",
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


def print_results(results: Results, console: Console) -> None:
    """The tables, the runs that failed, and where the page is."""
    for table in terminal_tables(results):
        console.print(table)
        console.print()
    console.print(Text(" ".join(verdict(results))))
    for run, reason in results.failures.items():
        console.print(f"{run} failed: {reason}")
    console.print(f"page: {CompareDirectory(results.folder).page}")


def _spread(results: Results, value: float | None) -> str:
    if value is None or results.is_regression:
        return number(value, ".2g")
    return f"{100 * value:.2f}"


def _difference(results: Results, difference: Difference | None) -> str:
    if difference is None:
        return "–"
    value = f"{difference.mean:+.4g}" if results.is_regression else f"{100 * difference.mean:+.2f}"
    return f"{value} {margin(difference.ci95, is_error=results.is_regression)}"


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
