"""Figures and settings in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from metaray.algorithms.plugins import label_of
from metaray.algorithms.registry import METHODS
from metaray.platform.report.record import RunRecord

_BATCH_NORM = {
    "transductive": "Batch norm was transductive: the queries of an episode were normalised "
    "together, so each prediction also drew on the other queries.",
    "inductive": "Batch norm was inductive: no prediction drew on any other query.",
}
_DATA = {
    "omniglot": "Omniglot",
    "glyphs": "drawn glyphs",
    "sinusoid": "sinusoids",
    "miniimagenet": "miniImageNet",
    "cifar_fs": "CIFAR-FS",
    "fc100": "FC100",
    "cub": "CUB-200-2011",
    "folder": "own pictures",
    "arrays": "own arrays",
}


def method_title(name: str) -> str:
    """``maml`` as its paper writes it."""
    if name not in METHODS.builtin:
        return label_of(name)
    return (METHODS[name].__doc__ or name).split(" (")[0]


def title(run: RunRecord) -> str:
    """Method, data and shape of the tasks."""
    config, shots = run.config, run.shape.shots
    head = f"{method_title(config.method.name)} on {data_title(run.tested_on)}"
    if run.is_regression:
        return f"{head}, {shots} example{_s(shots)} per task"
    return f"{head}, {run.shape.ways}-way {shots}-shot"


def data_title(name: str) -> str:
    """A data set as one writes it."""
    return _DATA.get(name, name)


def measured(run: RunRecord) -> list[str]:
    """What was measured and how, a sentence each."""
    return [s for s in _said(run) if s]


def score_text(run: RunRecord, value: float | None, digits: int = 2) -> str:
    """A score with its unit."""
    if value is None:
        return "–"
    return f"{value:.4g}" if run.is_regression else f"{100 * value:.{digits}f} %"


def interval_text(run: RunRecord, ci95: float | None, digits: int = 2) -> str:
    """Half the width of an interval, in the unit of the score."""
    if ci95 is None:
        return ""
    return f"± {ci95:.2g}" if run.is_regression else f"± {100 * ci95:.{digits}f}"


def figures(run: RunRecord) -> list[tuple[str, str]]:
    """The summary as a table: what, and how much. Lines without a figure are left out."""
    summary, name = run.summary, "mean squared error" if run.is_regression else "accuracy"
    baseline = summary.get(f"baseline_{run.score_name}")
    likelihood = None if run.is_regression else summary.get("loss")
    rows = [
        (f"test {name}", _with_interval(run, run.score, summary.get("ci95"))),
        (f"untrained {name}", _with_interval(run, baseline, summary.get("baseline_ci95"))),
        (f"validation {name}", _optional(run, summary.get(f"val_{run.score_name}"))),
        ("macro F1", _number(summary.get("macro_f1"), ".4f")),
        ("expected calibration error", _number(summary.get("ece"), ".4f")),
        ("negative log likelihood", _number(likelihood, ".4f")),
        ("test episodes", _number(summary.get("num_episodes"), ",")),
        *([] if run.is_of_encoder else _of_training(summary)),
        ("workers", _number(summary.get("workers"), "d")),
        ("parameters", _number(summary.get("num_parameters"), ",")),
        ("SHA-256 of the parameters", str(summary.get("params_sha256") or "")),
    ]
    return [(label, text) for label, text in rows if text]


def _of_training(summary: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("outer steps done", _number(summary.get("outer_steps"), ",")),
        ("outer step tested", _number(summary.get("tested_step"), ",")),
        ("training time", _duration(summary.get("wall_s"))),
        ("tasks per second", _number(summary.get("tasks_per_s"), ".4g")),
    ]


def setting_text(value: Any) -> str:
    """A setting as one would write it in a config."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _said(run: RunRecord) -> tuple[str, ...]:
    return (
        _what(run), _episode(run), _data(run), _start(run), _norm(run), _model(run), _inner(run),
    )  # fmt: skip


def _start(run: RunRecord) -> str:
    init = run.summary.get("init")
    if init is None:
        return ""
    origin = f"{init['run']} ({init['trained_by']}, step {init['step']})"
    if run.is_of_encoder:
        return (
            f"Nothing was meta-trained: this is the encoder as it was left by {origin}, which may "
            "have seen these classes if it was trained on the same data."
        )
    return f"Meta-training started from the encoder of {origin}."


def _what(run: RunRecord) -> str:
    count = run.summary.get("num_episodes", run.episodes.num_rows)
    score = "Mean squared error" if run.is_regression else "Mean accuracy"
    unit = "tasks" if run.is_regression else "episodes"
    unseen = unit if run.is_regression else "episodes of classes"
    tested = unit if run.is_of_encoder else f"{unseen} that training never saw"
    return f"{score} over {count:,} test {tested}, with a 95 % confidence interval over the {unit}."


def _episode(run: RunRecord) -> str:
    task = run.shape
    if run.is_regression:
        return f"Each gives {task.shots} example{_s(task.shots)} and asks for {task.queries} more."
    images = "one labelled image" if task.shots == 1 else f"{task.shots} labelled images"
    return (
        f"Each shows {task.ways} new classes with {images} of each, and asks for "
        f"the class of {task.queries} more of each."
    )


def _data(run: RunRecord) -> str:
    if not run.is_cross_domain:
        return ""
    return (
        f"The model was trained on {data_title(run.config.data.name)} and tested on "
        f"{data_title(run.tested_on)}, another data set."
    )


def _norm(run: RunRecord) -> str:
    return "" if run.is_regression else _BATCH_NORM.get(str(run.summary.get("batch_norm")), "")


def _model(run: RunRecord) -> str:
    summary = run.summary
    tested, steps = summary.get("tested_step"), summary.get("outer_steps")
    if tested is None or run.is_of_encoder:
        return ""
    chosen = summary.get("checkpoint", run.config.evaluate.checkpoint)
    if chosen == "best" and run.has(f"val_{run.score_name}"):
        value = summary.get(f"val_{run.score_name}")
        score = f" ({score_text(run, value)} there)" if value is not None else ""
        return f"The model was chosen on validation: step {tested:,} of {steps:,}{score}."
    return f"The model is that of step {tested:,} of {steps:,}; validation had no say."


def _inner(run: RunRecord) -> str:
    trained, tested = run.summary.get("inner_steps"), run.summary.get("eval_inner_steps")
    if trained is None or tested is None:
        return "The method adapts without gradient steps."
    if run.is_of_encoder:
        return f"It adapted by {tested} gradient step{_s(tested)}."
    return f"It adapted by {trained} gradient step{_s(trained)} in training, {tested} in the test."


def _with_interval(run: RunRecord, value: float | None, ci95: float | None) -> str:
    return "" if value is None else f"{score_text(run, value)} {interval_text(run, ci95)}".strip()


def _optional(run: RunRecord, value: float | None) -> str:
    return "" if value is None else score_text(run, value)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _duration(seconds: float | None) -> str:
    return "" if seconds is None else str(timedelta(seconds=round(seconds)))


def _s(count: int) -> str:
    return "" if count == 1 else "s"
