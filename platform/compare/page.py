"""Writes what a comparison ends in: tables, plots, and a ``compare.html`` of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from matplotlib.figure import Figure

from metaray.algorithms.atomic import atomic_path, write_json, write_text
from metaray.algorithms.errors import InputError
from metaray.platform.compare import plots, words
from metaray.platform.compare.directory import CompareDirectory
from metaray.platform.compare.results import Results
from metaray.platform.compare.table import COST_COLUMNS, cells, score_columns
from metaray.platform.config.loading import flat
from metaray.platform.report.style import LIGHT, Theme, write_png
from metaray.platform.report.template import Picture, render


class _Plot(NamedTuple):
    name: str
    title: str
    caption: str
    draw: Callable[[Results, Theme], Figure | None]


def write_comparison(directory: CompareDirectory, results: Results) -> None:
    """Write every file of the comparison but its runs, each atomically.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        with atomic_path(directory.episodes) as temporary:
            pq.write_table(results.episodes(), temporary)
        write_json(directory.summary, results.summary())
        directory.plots.mkdir(exist_ok=True)
        pictures = [
            picture for plot in _plots(results) for picture in _drawn(plot, results, directory)
        ]
        write_text(directory.page, _page(results, pictures, directory))
    except OSError as error:
        raise InputError(
            f"cannot write the comparison in {directory.path}: {error.strerror}; make room or "
            f"make it writable, then run metaray compare --resume {directory.path}"
        ) from error


def _plots(results: Results) -> list[_Plot]:
    curves = results.plan.curves
    again = (
        f"Each trained model tested again on {curves.episodes} episodes with {curves.queries} "
        "queries per class at each point; it was trained for one shape only."
    )
    name = "Error" if results.is_regression else "Accuracy"
    return [
        _Plot(
            "scores",
            f"{name} of every method",
            "Dot: mean with its 95 % interval over episodes. Strokes: the seeds.",
            plots.scores,
        ),
        _Plot("shots", f"{name} against shots", again, plots.against_shots),
        _Plot("ways", f"{name} against ways", again, plots.against_ways),
        _Plot(
            "time",
            f"{name} against training time",
            "Validation in the course of training: mean over the seeds, faint each seed. "
            "Validations themselves count as training time.",
            plots.against_time,
        ),
        _Plot(
            "cost",
            f"{name} against adaptation time",
            "What a new task costs once training is done; up and left is better."
            if not results.is_regression
            else "What a new task costs once training is done; down and left is better.",
            plots.against_cost,
        ),
    ]


def _drawn(plot: _Plot, results: Results, directory: CompareDirectory) -> list[Picture]:
    """One picture, or none where there is nothing to draw; an older PNG of it then goes."""
    path: Path = directory.plots / f"{plot.name}.png"
    if plot.draw(results, LIGHT) is None:
        path.unlink(missing_ok=True)
        return []
    draw: Any = partial(plot.draw, results)
    write_png(draw, plot.title, path)
    return [Picture.of(draw, plot.title, plot.caption)]


def _page(results: Results, pictures: list[Picture], directory: CompareDirectory) -> str:
    return render(
        "metaray.platform.compare",
        "compare.html.jinja",
        title=words.title(results),
        measured=words.measured(results),
        tables=[_table(results, headings) for headings in (score_columns(results), COST_COLUMNS)],
        how_to_read=words.how_to_read(results),
        notes=[*results.plan.notes, *words.left_out(results)],
        failures=results.failures,
        pictures=pictures,
        settings=_settings(results),
        names=[entry.name for entry in results.plan.entries],
        resume=f"metaray compare --resume {directory.path}",
    )


def _table(results: Results, headings: Sequence[str]) -> dict[str, Any]:
    return {
        "headings": headings,
        "rows": [
            (row.name == results.reference, cells(results, row, headings)) for row in results.rows
        ],
    }


def _settings(results: Results) -> list[tuple[str, list[str]]]:
    """Every setting in which two entries differ: key, and its value in each entry."""
    values = [dict(flat(entry.config.model_dump())) for entry in results.plan.entries]
    keys = list(dict.fromkeys(key for one in values for key in one))
    rows = []
    for key in keys:
        found = [one.get(key, "–") for one in values]
        if any(value != found[0] for value in found):
            rows.append((key, ["none" if value is None else str(value) for value in found]))
    return rows
