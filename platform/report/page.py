"""Writes the report of a run: ``plots/*.png`` and a ``report.html`` that needs no other file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.figure import Figure
from pydantic import BaseModel

from metaray.algorithms.atomic import write_text
from metaray.algorithms.errors import InputError
from metaray.platform.config.commands import evaluate_command, own_settings, train_command
from metaray.platform.report import curves, results, words
from metaray.platform.report.episode_picture import class_letter, episode_picture, picture_is_cut
from metaray.platform.report.example import ExampleEpisode
from metaray.platform.report.record import RunRecord
from metaray.platform.report.style import LIGHT, Theme, write_png
from metaray.platform.report.template import Picture, render
from metaray.platform.run.directory import RunDirectory

Plot = Callable[[RunRecord, Theme], "Figure | None"]


@dataclass(frozen=True, kw_only=True)
class _Entry:
    section: str
    name: str
    title: str
    caption: str
    plot: Plot


_PLOTS = (
    _Entry(
        section="training",
        name="loss",
        title="Loss in training",
        caption="Loss on the queries of training tasks, after adaptation. Faint: single steps.",
        plot=curves.loss_curve,
    ),
    _Entry(
        section="training",
        name="accuracy",
        title="Accuracy in training",
        caption="Training tasks against validation tasks, whose classes are not trained on. "
        "Shapes and inner steps of the two may differ: see the settings.",
        plot=curves.accuracy_curve,
    ),
    _Entry(
        section="test",
        name="adaptation",
        title="Adaptation",
        caption="Test score after each inner gradient step, with its 95 % interval.",
        plot=results.adaptation_curve,
    ),
    _Entry(
        section="test",
        name="episodes",
        title="Spread over episodes",
        caption="Some tasks are harder than others: the score of every test episode.",
        plot=results.episode_histogram,
    ),
    _Entry(
        section="test",
        name="calibration",
        title="Calibration",
        caption="Does 80 % confidence mean 80 % right? Below: share of the predictions.",
        plot=results.calibration,
    ),
    _Entry(
        section="training",
        name="throughput",
        title="Throughput",
        caption="Training tasks per second, and workers alive.",
        plot=curves.throughput,
    ),
)


def write_report(run: RunDirectory, example: ExampleEpisode | None) -> None:
    """Write the plots and the page of a run that has been tested, each file atomically.

    Raises:
        InputError: there is no test to report, or the folder cannot be written.
    """
    record = RunRecord.read(run)
    try:
        run.plots.mkdir(exist_ok=True)
        sections: dict[str, list[Picture]] = {"test": [], "training": []}
        for entry in _PLOTS:
            sections[entry.section] += _pictures(run, record, entry)
        shown = _example(run, example)
        write_text(run.report, _render(run, record, sections, example, shown))
    except OSError as error:
        raise InputError(
            f"cannot write the report in {run.path}: {error.strerror}; make room or make it "
            f"writable, then run metaray evaluate {run.path}"
        ) from error


def _pictures(run: RunDirectory, record: RunRecord, entry: _Entry) -> Iterator[Picture]:
    """One picture, or none where the run has nothing to plot; an older PNG of it then goes."""
    path = run.plots / f"{entry.name}.png"
    if entry.plot(record, LIGHT) is None:
        path.unlink(missing_ok=True)
        return

    def draw(theme: Theme) -> Figure:
        figure = entry.plot(record, theme)
        assert figure is not None  # it was not, for the same run
        return figure

    write_png(draw, entry.title, path)
    yield Picture.of(draw, entry.title, entry.caption)


def _example(run: RunDirectory, example: ExampleEpisode | None) -> Picture | None:
    path = run.plots / "example.png"
    if example is None:
        path.unlink(missing_ok=True)
        return None
    if example.is_regression:
        title, draw = "One test task", partial(results.example_curve, example)
        caption = "The function to find, the examples given of it, and the adapted model's guess."
    else:
        title, draw = "One test episode", partial(episode_picture, example)
        right = int((example.predicted == example.query_y).sum())
        caption = f"{right} of {len(example.query_y)} queries are right. "
        caption += "Under each: mark, predicted class, confidence. "
        caption += "Only a part is shown, as it comes." if picture_is_cut(example) else ""
    write_png(draw, title, path)
    return Picture.of(draw, title, caption)


def _render(
    run: RunDirectory,
    record: RunRecord,
    sections: dict[str, list[Picture]],
    example: ExampleEpisode | None,
    shown: Picture | None,
) -> str:
    return render(
        "metaray.platform.report",
        "report.html.jinja",
        title=words.title(record),
        bars=_bars(record),
        is_regression=record.is_regression,
        score=words.score_text(record, record.score, digits=1),
        interval=words.interval_text(record, record.summary.get("ci95"), digits=1),
        measured=words.measured(record),
        sections=sections,
        example=shown,
        names=_names(example),
        figures=words.figures(record),
        settings=setting_rows(record.config, set(own_settings(record.config))),
        versions=record.versions,
        train=train_command(record.config),
        evaluate=evaluate_command(run.place, record.config, record.summary),
    )


def _bars(record: RunRecord) -> list[dict[str, Any]]:
    """The result beside what it is to be compared with; lengths in percent of the longest."""
    name, summary = record.score_name, record.summary
    values = [(record.subject, record.score, summary.get("ci95"), "main")]
    if summary.get(f"baseline_{name}") is not None:
        baseline = summary[f"baseline_{name}"]
        values.append(("untrained", baseline, summary.get("baseline_ci95"), "other"))
    if record.chance is not None:
        values.append(("guessing", record.chance, None, "chance"))
    longest = max(value for _, value, _, _ in values) if record.is_regression else 1.0
    return [
        {
            "label": label,
            "text": words.score_text(record, value),
            "interval": words.interval_text(record, ci95),
            "length": round(100 * value / max(longest, 1e-12), 2),
            "style": style,
        }
        for label, value, ci95, style in values
    ]


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
                    "value": words.setting_text(getattr(fields, key)),
                    "meaning": type(fields).model_fields[key].description or "",
                    "own": path in own,
                }
            )
    return rows
