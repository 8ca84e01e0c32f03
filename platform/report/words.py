"""The result of a meta-training in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from metaray.algorithms.episode_shape import shape_label
from metaray.algorithms.plugins import label_of
from metaray.algorithms.registry import METHODS
from metaray.platform.common.formatting import (
    clock,
    margin,
    number,
    percent,
    plural,
    score,
    score_with_margin,
    span,
)
from metaray.platform.run.summary import is_as_it_began

if TYPE_CHECKING:
    from metaray.platform.report.record import RunRecord
    from metaray.platform.run.calibration import Calibration

_FEW = 20  # test classes
_MUCH_WIDER = 2.0  # times: from here on, a result says that classes vary more than episodes
_HARDEST = 5
_BATCH_NORM = {
    "transductive": "Batch norm was transductive: the queries of an episode were normalised "
    "together, so each prediction also drew on the other queries.",
    "inductive": "Batch norm was inductive: no prediction drew on any other query.",
}
_DATA = {
    "omniglot": "Omniglot",
    "omniglot_runs": "the 20 runs of Omniglot",
    "glyphs": "drawn glyphs",
    "sinusoid": "sinusoids",
    "miniimagenet": "miniImageNet",
    "cifar_fs": "CIFAR-FS",
    "fc100": "FC100",
    "cub": "CUB-200-2011",
    "fonts": "printed characters",
    "emoji": "emoji",
    "fashion_mnist": "Fashion-MNIST",
    "folder": "own images",
    "arrays": "own arrays",
}


def method_title(name: str) -> str:
    """``maml`` as its paper writes it."""
    if name not in METHODS.builtin:
        return label_of(name)
    return (METHODS[name].__doc__ or name).split(" (")[0]


def result_lines(summary: Mapping[str, Any]) -> list[Text]:
    """The result of a meta-test in a line."""
    what = f"{label_of(summary['method'])} on {label_of(summary['dataset'])}"
    if summary["trained_on"] != summary["dataset"]:
        what += f", trained on {label_of(summary['trained_on'])}"
    is_error = summary["accuracy"] is None
    name, key = ("mean squared error", "mse") if is_error else ("accuracy", "accuracy")
    if not is_error:
        what += f", {shape_label(summary['ways'], summary['shots'])}"
        what += " within a group" if summary.get("within_group") else ""
    found = score_with_margin(summary[key], summary["ci95"], is_error=is_error)
    few = few_classes(summary)
    untrained = f"untrained {score(summary[f'baseline_{key}'], is_error=is_error)}"
    mode = f"{summary['batch_norm']} batch norm"
    if summary.get("transductive"):
        mode = "transductive"
    if is_as_it_began(summary):
        untrained = "not trained"
    return [
        Text.assemble(
            (what, "bold"),
            f": {name} ",
            (found, "bold"),
            f" ({untrained}; {summary['num_episodes']} test episodes{_turned(summary)}, {mode})",
        ),
        *([Text(f"  {few}")] if few else []),
    ]


def _turned(summary: Mapping[str, Any]) -> str:
    turned = summary.get("test_rotations") == "classes"
    return " with quarter turns as classes" if turned else ""


def few_classes(summary: Mapping[str, Any]) -> str:
    """A sentence where the interval over episodes promises too much for other classes.

    It is empty where the interval over classes is not much wider, or was not computed.
    """
    count, wide = summary.get("num_test_classes"), summary.get("classes_ci95")
    narrow = summary.get("ci95")
    if count is None or narrow is None or (wide is not None and wide < _MUCH_WIDER * narrow):
        return ""
    if wide is None:
        return (
            "There is only one test class: the interval over episodes says nothing of other "
            "classes, so use more test classes."
        )
    if wide == 0:  # a bootstrap cannot see how other classes differ
        return (
            f"There are only {count:,} test classes, and all have the same accuracy: this says "
            "little of other classes, so use more test classes."
            if count < _FEW
            else ""
        )
    return (
        f"There are only {count:,} test classes. {margin(narrow)} is the interval over episodes of "
        f"these classes; for other classes it is {margin(wide)}."
        if count < _FEW
        else f"{margin(narrow)} is the interval over episodes of these {count:,} test classes; for "
        f"other classes it is {margin(wide)}."
    )


def title(run: RunRecord) -> str:
    """Method, data and shape of the tasks."""
    config, shots = run.config, run.shape.shots
    head = f"{method_title(config.method.name)} on {data_title(run.tested_on)}"
    if run.is_regression:
        return f"{head}, {plural(shots, 'example')} per task"
    return f"{head}, {run.shape.label}"


def data_title(name: str) -> str:
    """A data set as one writes it."""
    return _DATA.get(name, name)


def measured(run: RunRecord) -> list[str]:
    """What was measured and how, a sentence each."""
    return [s for s in _said(run) if s]


def metrics(run: RunRecord) -> list[tuple[str, str]]:
    """The summary as a table: what, and how much. Lines without a value are left out."""
    summary, is_error = run.summary, run.is_regression
    name = "mean squared error" if is_error else "accuracy"
    likelihood = None if is_error else summary.get("loss")
    tested, untrained = (
        score_with_margin(
            summary.get(f"{prefix}{run.score_name}"),
            summary.get(f"{prefix}ci95"),
            is_error=is_error,
        )
        for prefix in ("", "baseline_")
    )
    validated = score(summary.get(f"val_{run.score_name}"), is_error=is_error)
    rows = [
        (f"test {name}", tested),
        ("95 % interval over classes", _over_classes(summary)),
        ("accuracy by classes of the episode", _by_shape(summary.get("by_ways") or [])),
        ("accuracy by shots of the class", _by_shape(summary.get("by_shots") or [])),
        ("hardest classes", _hardest(summary)),
        (f"untrained {name}", "" if run.is_as_it_began else untrained),
        (f"validation {name}", validated),
        ("macro F1", number(summary.get("macro_f1"), ".4f")),
        ("expected calibration error", number(summary.get("ece"), ".4f")),
        ("negative log likelihood", number(likelihood, ".4f")),
        ("in use, on validation episodes", _calibrated(run.calibration)),
        ("rejection of unknown classes", _rejection(run.calibration)),
        ("test episodes", number(summary.get("num_episodes"), ",")),
        *(_of_training(summary) if run.is_meta_trained else []),
        ("training, validation and test classes", _sizes(summary, "classes")),
        (
            f"training, validation and test {'images' if run.has_images else 'vectors'}",
            _sizes(summary, "images"),
        ),
        *place_and_time(summary),
    ]
    return [(label, text) for label, text in rows if text]


def _calibrated(found: Calibration | None) -> str:
    if found is None:
        return ""
    return (
        f"{percent(found.accuracy, 1)} right, "
        f"expected calibration error {found.ece_after:.4f} in place of {found.ece_before:.4f}, "
        f"with a temperature of {found.temperature:.3g} ({found.ways} classes, "
        f"{plural(found.shots, 'shot')}, inductive batch norm)"
    )


def _rejection(found: Calibration | None) -> str:
    if found is None or found.refusal is None:
        return ""
    rule = found.refusal
    return (
        f"by {rule.score}: wrongly rejects {percent(rule.wrongly_refused, 1)}, wrongly "
        f"accepts {percent(rule.wrongly_accepted, 1)} of validation queries"
    )


def place_and_time(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where and when a run was computed, and with how many parameters, for its table."""
    at = summary.get("tested_at")
    return [
        ("tested", f"{datetime.fromisoformat(at):%-d %B %Y, %H:%M} UTC" if at else ""),
        ("network", label_of(summary.get("network") or "")),
        ("device", summary.get("device") or ""),
        ("workers", number(summary.get("workers"), "d")),
        ("parameters", number(summary.get("num_parameters"), ",")),
        ("SHA-256 of the parameters", str(summary.get("params_sha256") or "")),
    ]


def _sizes(summary: Mapping[str, Any], counted: str) -> str:
    splits = summary.get("splits")
    return " / ".join(f"{splits[s][counted]:,}" for s in ("train", "val", "test")) if splits else ""


def _over_classes(summary: Mapping[str, Any]) -> str:
    count, wide = summary.get("num_test_classes"), summary.get("classes_ci95")
    return "" if count is None or wide is None else f"{margin(wide)} ({count:,} test classes)"


def _hardest(summary: Mapping[str, Any]) -> str:
    """The classes with the lowest accuracy."""
    by_name: Mapping[str, float] = summary.get("class_accuracy") or {}
    shown = sorted(by_name.items(), key=lambda pair: pair[1])[:_HARDEST]
    return ", ".join(f"{name} {percent(accuracy, 1)}" for name, accuracy in shown)


def _of_training(summary: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("outer steps done", number(summary.get("outer_steps"), ",")),
        ("outer step tested", number(summary.get("tested_step"), ",")),
        ("training time", clock(summary.get("wall_s"))),
        ("tasks per second", number(summary.get("tasks_per_s"))),
    ]


def _said(run: RunRecord) -> tuple[str, ...]:
    return (
        _what(run), few_classes(run.summary), _episode(run), _data(run), _start(run), _norm(run),
        _model(run), _inner(run),
    )  # fmt: skip


def _start(run: RunRecord) -> str:
    init = run.summary.get("init")
    if run.is_as_it_began and not run.has_images and not run.is_regression:
        return "Nothing was trained: the method learns each task from the vectors as they are."
    if run.is_as_it_began:
        return "Nothing was trained: the network is as it was drawn at random."
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
    name = "Mean squared error" if run.is_regression else "Mean accuracy"
    unit = "tasks" if run.is_regression else "episodes"
    unseen = unit if run.is_regression else "episodes of classes"
    tested = f"{unseen} that training never saw" if run.is_meta_trained else unit
    mean = f"{name} over {count:,} test {tested}, with a 95 % confidence interval over the {unit}."
    classes = run.summary.get("num_test_classes")
    if not classes or few_classes(run.summary):  # which says it
        return mean
    drawn = "1 class" if classes == 1 else f"{classes:,} classes"
    return f"{mean} The test has {drawn}."


def _episode(run: RunRecord) -> str:
    task = run.shape
    if run.is_regression:
        return f"Each gives {plural(task.shots, 'example')} and asks for {task.queries} more."
    thing = "image" if run.has_images else "vector"
    images = f"one labelled {thing}" if task.shots == 1 else f"{task.shots} labelled {thing}s"
    group = " of one group" if task.within_group else ""
    turned = run.summary.get("test_rotations") == "classes"
    ways = str(task.ways)
    if task.varying is not None and task.varying.in_sequence:
        return (
            f"Each shows {_drawn(run, 'support')} examples of a sequence of {ways} new "
            f"classes{group}, {task.shots} of each, and asks for the class of {task.queries} more "
            "of each. Some classes may have no example yet."
        )
    if task.varying is not None:
        ways, images = _drawn(run, "ways"), f"its own number of labelled {thing}s"
    return (
        f"Each shows {ways} new classes{group} with {images} of each, and asks for "
        f"the class of {task.queries} more of each."
        + (" Quarter turns of a class count as classes." if turned else "")
    )


def _drawn(run: RunRecord, column: str) -> str:
    """The classes, or the support examples, that the test episodes had."""
    found = run.per_episode(column)
    return "some" if found is None else f"{found.min():.0f} to {found.max():.0f}"


def _by_shape(bins: Iterable[Mapping[str, Any]]) -> str:
    """The accuracy in each bin of ways or of shots, a line of the table."""
    parts = [
        f"{span(one['from'], one['to'])}: {score_with_margin(one['accuracy'], one['ci95'])}"
        for one in bins
    ]
    return "; ".join(parts)


def _data(run: RunRecord) -> str:
    if not run.is_cross_domain:
        return ""
    return (
        f"The model was trained on {data_title(run.config.data.name)} and tested on "
        f"{data_title(run.tested_on)}, another data set."
    )


def _norm(run: RunRecord) -> str:
    if run.is_regression:
        return ""
    if run.summary.get("transductive"):
        return (
            f"{run.config.method.name} is transductive: the queries of an episode were predicted "
            "together, so each prediction also drew on the other queries."
        )
    return _BATCH_NORM.get(str(run.summary.get("batch_norm")), "")


def _model(run: RunRecord) -> str:
    summary = run.summary
    tested, steps = summary.get("tested_step"), summary.get("outer_steps")
    if tested is None or steps is None or not run.is_meta_trained:
        return ""
    chosen = summary.get("checkpoint", run.config.evaluate.checkpoint)
    if chosen == "best" and run.has(f"val_{run.score_name}"):
        value = summary.get(f"val_{run.score_name}")
        there = f" ({score(value, is_error=run.is_regression)} there)" if value is not None else ""
        return f"The model was chosen on validation: step {tested:,} of {steps:,}{there}."
    return (
        f"The model is that of step {tested:,} of {steps:,}; validation was not used to choose it."
    )


def _inner(run: RunRecord) -> str:
    trained, tested = run.summary.get("inner_steps"), run.summary.get("eval_inner_steps")
    if trained is None or tested is None:
        return "The method adapts without gradient steps."
    if not run.is_meta_trained:
        return f"It adapted by {plural(tested, 'gradient step')}."
    return f"It adapted by {plural(trained, 'gradient step')} in training, {tested} in the test."
