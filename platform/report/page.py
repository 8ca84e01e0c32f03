"""Writes the report of a run: ``plots/*.png`` and a ``report.html`` that needs no other file."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from pydantic import BaseModel

from metaray.platform.common.formatting import margin, score
from metaray.platform.config.commands import evaluate_command, own_settings, train_command
from metaray.platform.config.values import set_value
from metaray.platform.report import class_plots, curves, results, words
from metaray.platform.report.episode_image import class_letter, episode_image, is_cut
from metaray.platform.report.example import ExampleEpisode
from metaray.platform.report.page_writer import (
    Bar,
    Image,
    Plot,
    draw_images,
    score_bars,
    write_page,
    writing,
)
from metaray.platform.report.record import RunRecord
from metaray.platform.report.shape_plots import accuracy_by
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.provenance import attribution_of


def write_report(run: RunDirectory, example: ExampleEpisode | None) -> None:
    """Write the plots and the page of a run that has been tested, each file atomically.

    Raises:
        InputError: there is no test to report, or the folder cannot be written.
    """
    record = RunRecord.read(run)
    with writing("the report", run.path, f"run metaray evaluate {run.path}"):
        images = {
            heading: draw_images(plots, run.plots)
            for heading, plots in (
                ("An example", [_example_plot(example)]),
                ("The test", _test_plots(record)),
                ("Training", _training_plots(record)),
            )
        }
        page = _page(run, record, example, images)
        write_page(run.report, __package__ or "", "report.html.jinja", **page)


def _training_plots(record: RunRecord) -> list[Plot]:
    return [
        Plot(
            name="loss",
            title="Loss in training",
            caption="Loss on the queries of a task, after adaptation: training tasks above (faint: "
            "single steps), validation tasks below. Their shapes may differ.",
            draw=partial(curves.loss_curve, record),
        ),
        Plot(
            name="accuracy",
            title="Accuracy in training",
            caption="Training tasks above, and below validation tasks, whose classes are not "
            "trained on. Shapes and inner steps of the two may differ: see the settings.",
            draw=partial(curves.accuracy_curve, record),
        ),
        Plot(
            name="learning_rate",
            title="Learning rate",
            caption="Of the outer optimizer, at each outer step.",
            draw=partial(
                curves.step_curve, record.metrics, "meta_lr", "learning rate", from_zero=True
            ),
        ),
        Plot(
            name="grad_norm",
            title="Gradient norm",
            caption="Norm of the meta-gradient, before clipping.",
            draw=partial(curves.step_curve, record.metrics, "grad_norm", "gradient norm"),
        ),
        Plot(
            name="throughput",
            title="Throughput",
            caption="Training tasks per second, and workers alive.",
            draw=partial(curves.throughput, record),
        ),
    ]


def _test_plots(record: RunRecord) -> list[Plot]:
    return [
        Plot(
            name="adaptation",
            title="Adaptation",
            caption="Test score after each inner gradient step, with its 95 % interval.",
            draw=partial(results.adaptation_curve, record),
        ),
        Plot(
            name="episodes",
            title="Spread over episodes",
            caption="Some tasks are harder than others: the score of every test episode.",
            draw=partial(results.episode_histogram, record),
        ),
        Plot(
            name="calibration",
            title="Calibration",
            caption="Does 80 % confidence mean 80 % right? Below: share of the predictions.",
            draw=partial(results.calibration, record),
        ),
        Plot(
            name="rejection",
            title="Rejection of unknown classes",
            caption="Validation queries of the classes that are wrongly rejected, and of unknown "
            "classes that are wrongly accepted, at each threshold.",
            draw=partial(results.rejection, record),
        ),
        *_shape_plots(record.summary),
        *_class_plots(record.summary),
    ]


def _shape_plots(summary: dict[str, Any]) -> list[Plot]:
    """None where all episodes have one shape."""
    ways, shots = (summary.get(key) or [] for key in ("by_ways", "by_shots"))
    return [
        Plot(
            name="ways",
            title="Accuracy by classes of the episode",
            caption="Episodes by their number of classes, with 95 % intervals over episodes.",
            draw=partial(accuracy_by, ways, "classes of the episode (ways)", guessing=True),
        ),
        Plot(
            name="shots",
            title="Accuracy by shots",
            caption="Queries by the number of support examples of their class, with 95 % intervals "
            "over episodes.",
            draw=partial(accuracy_by, shots, "support examples of the class (shots)"),
        ),
    ]


def _class_plots(summary: dict[str, Any]) -> list[Plot]:
    by_name, found = summary.get("class_accuracy"), summary.get("confusion")
    plots = [
        Plot(
            name="classes",
            title="Accuracy by class",
            caption="Over the queries of all test episodes that show the class.",
            draw=partial(class_plots.class_accuracy, by_name or {}),
        )
    ]
    if found:
        shares = np.array(found["shares"], np.float64)  # None becomes NaN
        plots.append(
            Plot(
                name="confusion",
                title="Confusion",
                caption="Of the queries of each class, the share (in %) that was taken for each "
                "other class, in the episodes that show both. Diagonal: its accuracy.",
                draw=partial(class_plots.confusion_matrix, shares, found["classes"]),
            )
        )
    return plots


def _example_plot(example: ExampleEpisode | None) -> Plot:
    if example is None:
        return Plot(name="example", title="", caption="", draw=lambda _: None)
    if example.is_regression:
        return Plot(
            name="example",
            title="One test task",
            caption="The function to find, the examples given of it, and the adapted model's "
            "guess.",
            draw=partial(results.example_curve, example),
            wide=True,
        )
    right = int((example.predicted == example.query_y).sum())
    cut = "Only a part is shown, as it comes." if is_cut(example) else ""
    return Plot(
        name="example",
        title="One test episode",
        caption=f"{right} of {len(example.query_y)} queries are right. Under each: mark, predicted "
        f"class, confidence. {cut}",
        draw=partial(episode_image, example),
        wide=True,
    )


def _page(
    run: RunDirectory,
    record: RunRecord,
    example: ExampleEpisode | None,
    images: dict[str, list[Image]],
) -> dict[str, Any]:
    is_error, summary = record.is_regression, record.summary
    own = set(own_settings(record.config))
    return {
        "title": words.title(record),
        "score_label": "test mean squared error" if is_error else "test accuracy",
        "score": score(record.score, is_error=is_error, digits=1),
        "interval": margin(summary.get("ci95"), is_error=is_error, digits=1),
        "score_note": "lower is better" if is_error else "",
        "bars": _bars(record),
        "measured": words.measured(record),
        "example": next(iter(images.pop("An example")), None),
        "names": _names(example),
        "sections": images,
        "metrics": words.metrics(record),
        "settings": setting_rows(record.config, own),
        "versions": record.versions,
        "sources": attribution_of(run),
        "train": train_command(record.config),
        "evaluate": evaluate_command(
            run.place, record.config, record.tested, summary.get("data_settings")
        ),
    }


def _bars(record: RunRecord) -> list[Bar]:
    """The result and its references."""
    name, summary = record.score_name, record.summary
    rows = [(record.subject, record.score, summary.get("ci95"), "main")]
    if summary.get(f"baseline_{name}") is not None and not record.is_as_it_began:
        baseline = summary[f"baseline_{name}"]
        rows.append(("untrained", baseline, summary.get("baseline_ci95"), "other"))
    if record.chance is not None:
        rows.append(("guessing", record.chance, None, "chance"))
    return score_bars(rows, is_error=record.is_regression)


def _names(example: ExampleEpisode | None) -> list[tuple[str, str]]:
    if example is None or example.class_names is None or example.is_regression:
        return []
    return [(class_letter(label), name) for label, name in enumerate(example.class_names)]


def setting_rows(config: BaseModel, own: set[str]) -> list[dict[str, Any]]:
    """Every setting with its meaning; ``own`` are those to mark, which are not the defaults."""
    rows = []
    for section, value in config:
        fields: BaseModel = value if isinstance(value, BaseModel) else config
        keys = type(fields).model_fields if isinstance(value, BaseModel) else {section: None}
        for key in keys:
            path = f"{section}.{key}" if isinstance(value, BaseModel) else section
            rows.append(
                {
                    "key": path,
                    "value": set_value(getattr(fields, key)),
                    "meaning": type(fields).model_fields[key].description or "",
                    "own": path in own,
                }
            )
    return rows
