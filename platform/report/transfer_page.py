"""The report of a transfer job: plots as PNG, and a page that needs no other file."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from metaray.algorithms.reading import refusing_damage
from metaray.platform.common.arrow import from_column, read_parquet
from metaray.platform.common.formatting import margin, percent
from metaray.platform.config.commands import own_settings, train_command
from metaray.platform.config.loading import read_config, read_versions
from metaray.platform.config.transfer import TransferConfig
from metaray.platform.report.class_plots import confusion_matrix
from metaray.platform.report.curves import step_curve
from metaray.platform.report.page import setting_rows
from metaray.platform.report.page_writer import (
    Bar,
    Image,
    Plot,
    draw_images,
    score_bars,
    write_page,
    writing,
)
from metaray.platform.report.record import MetricsTable
from metaray.platform.report.transfer_plots import curve
from metaray.platform.report.transfer_words import (
    compared,
    is_probed,
    measured,
    metric_rows,
    title,
)
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsLog
from metaray.platform.run.provenance import DataRecord, attribution_of
from metaray.platform.run.summary import checked_summary
from metaray.platform.training.transfer.metrics import confusion


def write_transfer_report(run: RunDirectory) -> None:
    """Write the plots and the page of a job that has been tested, each file atomically.

    Raises:
        InputError: the folder cannot be written.
    """
    summary = checked_summary(run.summary)
    config = read_config(TransferConfig, run.config)
    with writing("the report", run.path, "continue with --resume"):
        metrics = MetricsTable(MetricsLog.read(run.metrics))
        sections = {
            "The test": draw_images(_test_plots(run), run.plots),
            "Training": draw_images(_training_plots(metrics, is_probed(summary)), run.plots),
        }
        write_page(
            run.report,
            __package__ or "",
            "report.html.jinja",
            **_page(run, config, summary, sections),
        )


def _training_plots(metrics: MetricsTable, probed: bool) -> list[Plot]:
    accuracy = (
        "Of validation images by their nearest neighbours among training images, with its interval."
        if probed
        else "Of each batch, and on validation images with its interval."
    )
    captions = {
        "loss": "Of each batch." if probed else "Of each batch, and on validation images.",
        "accuracy": accuracy,
        "matched": "Of each batch, the share of views to which no other image is nearer than their "
        "own.",
        "agreement": "Of each batch, the share of images that the student takes for the teacher's "
        "class.",
    }
    titles = {"matched": "Matched views"}
    return [
        *(
            Plot(
                name=key,
                title=titles.get(key, key.capitalize()),
                caption=caption,
                draw=partial(curve, metrics, key),
            )
            for key, caption in captions.items()
        ),
        Plot(
            name="learning_rate",
            title="Learning rate",
            caption="Of each step.",
            draw=partial(step_curve, metrics, "lr", "learning rate", from_zero=True),
        ),
    ]


def _test_plots(run: RunDirectory) -> list[Plot]:
    path = run.evaluations / "test.parquet"
    if not path.is_file():  # a probe's test has no predictions
        return []
    with refusing_damage(f"{path} is not a table of predictions", "continue with --resume"):
        table = read_parquet(path, columns=["predicted", "label"])
    names = DataRecord.read(run).source.classes
    counts = np.array(
        confusion(from_column(table["predicted"]), from_column(table["label"]), len(names)),
        np.float64,
    )
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return [
        Plot(
            name="confusion",
            title="Confusion",
            caption="Of the test images of each class, the share (in %) that was taken for each.",
            draw=partial(confusion_matrix, shares, names),
        )
    ]


def _page(
    run: RunDirectory,
    config: TransferConfig,
    summary: dict[str, Any],
    sections: dict[str, list[Image]],
) -> dict[str, Any]:
    return {
        "title": title(summary),
        "score_label": "test accuracy",
        "score": percent(summary["accuracy"], 1),
        "interval": margin(summary["ci95"], digits=1),
        "score_note": "",
        "bars": _bars(summary),
        "measured": measured(summary),
        "example": None,
        "names": [],
        "sections": sections,
        "metrics": metric_rows(summary),
        "settings": setting_rows(config, set(own_settings(config))),
        "versions": read_versions(run.config),
        "sources": attribution_of(run),
        "train": train_command(config),
        "evaluate": [],
    }


def _bars(summary: dict[str, Any]) -> list[Bar]:
    others = ((name.replace("_", " "), found) for name, _, found in compared(summary))
    return score_bars(
        [
            (summary["job"], summary["accuracy"], summary["ci95"], "main"),
            *((name, found["accuracy"], found["ci95"], "other") for name, found in others),
            ("guessing", 1 / summary["num_classes"], None, "chance"),
        ]
    )
