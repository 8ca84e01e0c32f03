"""The report of a transfer job: plots as PNG, and a page that needs no other file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from metaray.algorithms.atomic import write_text
from metaray.algorithms.errors import InputError
from metaray.platform.config.transfer import TransferConfig
from metaray.platform.config.transfer_commands import own_settings, train_command
from metaray.platform.config.transfer_loading import read_transfer_config
from metaray.platform.experiment.transfer_record import read_data
from metaray.platform.report.page import setting_rows
from metaray.platform.report.style import LIGHT, Theme, write_png
from metaray.platform.report.template import Picture, render
from metaray.platform.report.transfer_plots import Course, confusion_matrix, curve, learning_rate
from metaray.platform.report.transfer_words import (
    compared,
    figure_rows,
    is_probed,
    measured,
    percent,
    title,
)
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsLog
from metaray.platform.training.transfer.metrics import confusion

Draw = Callable[[Theme], "Figure | None"]


def write_transfer_report(run: RunDirectory) -> None:
    """Write the plots and the page of a job that has been tested, each file atomically.

    Raises:
        InputError: the folder cannot be written.
    """
    summary = json.loads(run.summary.read_text(encoding="utf-8"))
    config = read_transfer_config(run.config)
    try:
        run.plots.mkdir(exist_ok=True)
        course = Course(MetricsLog.read(run.metrics))
        sections = {
            "test": [*_confusion(run, summary)],
            "training": [
                picture
                for name, heading, caption, draw in _curves(course, is_probed(summary))
                for picture in _picture(run, name, heading, caption, draw)
            ],
        }
        write_text(run.report, _page(run, config, summary, sections))
    except OSError as error:
        raise InputError(
            f"cannot write the report in {run.path}: {error.strerror}; make room or make it "
            "writable, then continue with --resume"
        ) from error


def _curves(course: Course, probed: bool) -> Iterator[tuple[str, str, str, Draw]]:
    yield (
        "loss", "Loss",
        "Of each batch." if probed else "Of each batch, and on validation pictures.",
        partial(curve, course, "loss"),
    )  # fmt: skip
    yield (
        "accuracy", "Accuracy",
        "Of validation pictures by their nearest neighbours among training pictures, with its "
        "interval." if probed else "Of each batch, and on validation pictures with its interval.",
        partial(curve, course, "accuracy"),
    )  # fmt: skip
    yield (
        "matched", "Matched views",
        "Of each batch, the share of views to which no other picture is nearer than their own.",
        partial(curve, course, "matched"),
    )  # fmt: skip
    yield (
        "agreement", "Agreement",
        "Of each batch, the share of pictures that the student takes for the teacher's class.",
        partial(curve, course, "agreement"),
    )  # fmt: skip
    yield "learning_rate", "Learning rate", "Of each step.", partial(learning_rate, course)


def _confusion(run: RunDirectory, summary: dict[str, Any]) -> Iterator[Picture]:
    path = run.evaluations / "test.parquet"
    if not path.is_file():  # a probe's test has no predictions
        return
    table = pq.read_table(path)
    names = read_data(run)["source"]["classes"]
    counts = np.array(
        confusion(table["predicted"].to_numpy(), table["label"].to_numpy(), len(names)), np.float64
    )
    yield from _picture(
        run,
        "confusion",
        "Confusion",
        "Of the test pictures of each class, the share (in %) that was taken for each.",
        partial(confusion_matrix, counts, names),
    )


def _picture(
    run: RunDirectory, name: str, heading: str, caption: str, draw: Draw
) -> Iterator[Picture]:
    """One picture, or none where there is nothing to plot."""
    if draw(LIGHT) is None:
        return

    def drawn(theme: Theme) -> Figure:
        figure = draw(theme)
        assert figure is not None  # it was not, for the same job
        return figure

    write_png(drawn, heading, run.plots / f"{name}.png")
    yield Picture.of(drawn, heading, caption)


def _page(
    run: RunDirectory,
    config: TransferConfig,
    summary: dict[str, Any],
    sections: dict[str, list[Picture]],
) -> str:
    versions = json.loads(run.config.read_text(encoding="utf-8")).get("versions", {})
    score, _, interval = percent(summary, digits=1).partition(" ±")
    own = own_settings(config)
    return render(
        "metaray.platform.report",
        "report.html.jinja",
        title=title(summary),
        bars=_bars(summary),
        is_regression=False,
        score=score,
        interval=f"±{interval}",
        measured=measured(summary),
        sections=sections,
        example=None,
        names=[],
        figures=figure_rows(summary),
        settings=setting_rows(config, set(own)),
        versions=versions,
        train=train_command(config, own),
        evaluate=[],
    )


def _bars(summary: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[tuple[str, Mapping[str, Any], str]] = [(summary["job"], summary, "main")]
    rows += [(name.replace("_", " "), found, "other") for name, _, found in compared(summary)]
    bars = []
    for label, found, style in rows:
        text, _, interval = percent(found).partition(" ±")
        length = round(100 * found["accuracy"], 2)
        bars.append(
            {"label": label, "text": text, "interval": f"±{interval}", "length": length,
             "style": style}
        )  # fmt: skip
    guess = 1 / summary["num_classes"]
    bars.append(
        {"label": "guessing", "text": f"{100 * guess:.2f} %", "interval": "",
         "length": round(100 * guess, 2), "style": "chance"}
    )  # fmt: skip
    return bars
