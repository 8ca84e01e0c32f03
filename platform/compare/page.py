"""Writes the results of a comparison: tables, plots and ``compare.html``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pyarrow.parquet as pq

from metaray.algorithms.atomic import atomic_path, write_json
from metaray.platform.compare import plots, words
from metaray.platform.compare.directory import CompareDirectory
from metaray.platform.compare.results import Results
from metaray.platform.compare.table import COST_COLUMNS, cells, score_columns
from metaray.platform.config.tree import flat
from metaray.platform.config.values import set_value
from metaray.platform.report.page_writer import Plot, draw_images, link, write_page, writing
from metaray.platform.run.directory import RunDirectory


def write_comparison(directory: CompareDirectory, results: Results) -> None:
    """Write every file of the comparison but its runs, each atomically.

    Raises:
        InputError: the folder cannot be written.
    """
    path = directory.path
    with writing("the comparison", path, f"run metaray compare --resume {path}"):
        with atomic_path(directory.episodes) as temporary:
            pq.write_table(results.episodes(), temporary)
        write_json(directory.summary, results.summary())
        write_page(
            directory.page,
            __package__ or "",
            "compare.html.jinja",
            title=words.title(results),
            verdict=words.verdict(results),
            measured=words.measured(results),
            tables={
                "Scores": _table(results, score_columns(results)),
                "Costs": _table(results, COST_COLUMNS),
            },
            how_to_read=words.how_to_read(results),
            notes=[*results.plan.notes, *words.left_out(results)],
            failures=results.failures,
            runs=_runs(results),
            images=draw_images(_plots(results), directory.plots),
            settings=_settings(results),
            names=[entry.name for entry in results.plan.entries],
            resume=f"metaray compare --resume {path}",
        )


def _plots(results: Results) -> list[Plot]:
    curves = results.plan.curves
    again = (
        f"Each trained model tested again on {curves.episodes} episodes with {curves.queries} "
        "queries per class at each point; it was trained for one shape only."
    )
    name, better = ("Error", "down") if results.is_regression else ("Accuracy", "up")
    return [
        Plot(
            name="scores",
            title=f"{name} of every method",
            caption="Dot: mean with its 95 % interval over episodes. Strokes: the seeds.",
            draw=partial(plots.scores, results),
            wide=True,
        ),
        Plot(
            name="shots",
            title=f"{name} against shots",
            caption=again,
            draw=partial(plots.against_shots, results),
        ),
        Plot(
            name="ways",
            title=f"{name} against ways",
            caption=again,
            draw=partial(plots.against_ways, results),
        ),
        Plot(
            name="time",
            title=f"{name} against training time",
            caption="Validation over the training time: mean over the seeds, faint each seed. "
            "Validations themselves count as training time.",
            draw=partial(plots.against_time, results),
        ),
        Plot(
            name="cost",
            title=f"{name} against adaptation time",
            caption=f"What a new task costs once training is done; {better} and left is better.",
            draw=partial(plots.against_cost, results),
        ),
    ]


def _runs(results: Results) -> list[tuple[str, list[tuple[str, str]]]]:
    """The reports of each entry: seed, and the address from the page."""
    return [
        (
            row.name,
            [
                (
                    f"seed {run.folder.seed}",
                    link(RunDirectory(run.folder.path).report, results.folder),
                )
                for run in row.runs
            ],
        )
        for row in results.rows
    ]


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
        found = [set_value(one[key]) if key in one else "–" for one in values]
        if any(text != found[0] for text in found):
            rows.append((key, found))
    return rows
