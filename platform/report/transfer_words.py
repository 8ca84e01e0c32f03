"""The result of a transfer job in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from metaray.algorithms.plugins import label_of
from metaray.algorithms.transfer.registry import JOBS
from metaray.platform.common.formatting import clock, number, percent, plural, score_with_margin
from metaray.platform.report.words import data_title, place_and_time

REFERENCES = {
    "scratch": "the same network, trained from a random start",
    "head": "a linear classifier on the frozen start (linear probe)",
    "source_only": "the same network, without adaptation",
    "target_supervised": "trained on the labels of the target, which the job may not see",
    "alone": "the same network, trained on the labels without a teacher",
    "supervised": "the same network, trained on the labels",
}
"""what each job to compare with is"""


def job_title(name: str) -> str:
    """``finetune`` as people call it."""
    return (JOBS[name].title if name in JOBS.builtin else "") or label_of(name)


def title(summary: Mapping[str, Any]) -> str:
    """Job and data."""
    head = f"{job_title(summary['job'])} on {data_title(summary['dataset'])}"
    if summary["target"] is not None:
        role = "tested on" if summary["tests_target"] else "adapted to"
        head += f", {role} {data_title(summary['target'])}"
    labels = summary["labels_per_class"]
    return head if labels is None else f"{head}, {plural(labels, 'label')} per class"


def compared(summary: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """What the result is to be compared with: a name, what it is, and its metrics."""
    probe = "linear classifier on the" if is_probed(summary) else "nearest class mean of the"
    rows: list[tuple[str, str, Mapping[str, Any]]] = [
        ("before", f"{probe} features before training", summary["before"])
    ]
    rows += [
        (kind, text, summary["probes"][kind])
        for kind, text in _PROBES.items()
        if kind in summary["probes"]
    ]
    rows += [
        (name, f"{REFERENCES[name]}; {found['training']}", found)
        for name, found in summary.get("references", {}).items()
    ]
    return rows


def _accuracy(found: Mapping[str, Any]) -> str:
    return score_with_margin(found["accuracy"], found["ci95"])


def is_probed(summary: Mapping[str, Any]) -> bool:
    """Whether the job trains no classifier, so that a linear one on its features is the result."""
    return "linear_probe" in summary["probes"]


_COLLAPSED = 0.9  # share of predictions that one class has
_PROBES = {  # the linear one is the result itself
    "nearest_centroid": "nearest class mean of the features after training",
    "knn_probe": "k nearest neighbours of the features after training",
}


def result_lines(summary: Mapping[str, Any]) -> list[Text]:
    """The result in a few lines."""
    first = Text.assemble(
        (title(summary), "bold"), ": accuracy ", (_accuracy(summary), "bold"),
        f" ({summary['num_examples']:,} test images)",
    )  # fmt: skip
    others, failed = compared(summary), failure(summary)
    return [
        first,
        *([Text(f"  {failed}", "yellow")] if failed else []),
        *(Text(f"  {name}: {_accuracy(found)} ({text})") for name, text, found in others),
    ]


def failure(summary: Mapping[str, Any]) -> str:
    """A sentence where the network learned nothing that the test shows; empty where it did."""
    guess = 1 / summary["num_classes"]
    most = summary.get("most_predicted")
    if most and most["share"] >= _COLLAPSED and most["label_share"] < _COLLAPSED * most["share"]:
        return (
            f"The network has collapsed: {percent(most['share'], 0)} of its predictions are "
            f"{most['name']}, which {percent(most['label_share'], 0)} of the images are. Lower "
            "train.lr, or train longer."
        )
    if summary["interval"][0] <= guess:
        return (
            f"The accuracy is not above guessing ({percent(guess, 1)}). Lower train.lr, train "
            "longer, or use more images."
        )
    return ""


def measured(summary: Mapping[str, Any]) -> list[str]:
    """What was measured and how, a sentence each."""
    images = summary["pictures"]
    count = f"{summary['num_examples']:,}"
    how = "by a linear classifier on its features" if is_probed(summary) else ""
    failed = failure(summary)
    sentences = [
        *([failed] if failed else []),
        f"Accuracy over {count} test images that training never saw"
        + (f", {how}" if how else "")
        + ", with Wilson's 95 % interval over the images.",
        f"There were {images['train']:,} images of {summary['num_classes']} classes to train "
        f"on, and {images['val']:,} for validation.",
    ]
    if summary["target"] is not None:
        sentences.append(
            "The test is on another domain than the labels; no label of it was used in training "
            "or to choose the weights."
            if summary["tests_target"]
            else "The target has other classes, so the test is on the source, and no label of the "
            "target was used at all. What the features are worth there, episodes of its classes "
            "tell: init.checkpoint = this run and train.outer_steps = 0 in metaray train."
        )
    origin = summary["init"]
    if origin is not None:
        sentences.append(
            f"The network started from step {origin['step']} of {origin['run']} "
            f"({origin['trained_by']})."
        )
    sentences += [f"“{name.replace('_', ' ')}”: {text}." for name, text, _ in compared(summary)]
    return sentences


def metric_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The summary as a table: what, and how much. Lines without a value are left out."""
    low, high = summary["interval"]
    rows = [
        ("test accuracy", _accuracy(summary)),
        ("95 % interval", f"{percent(low)} to {percent(high)}"),
        ("validation accuracy", percent(summary.get("val_accuracy"))),
        ("negative log likelihood", number(summary.get("loss"), ".4f")),
        ("expected calibration error", number(summary.get("ece"), ".4f")),
        *((text, _accuracy(found)) for _, text, found in compared(summary)),
        ("steps done", f"{summary['steps']:,} of {summary['planned_steps']:,}"),
        ("step tested", f"{summary['tested_step']:,}"),
        ("training time", clock(summary["wall_s"])),
        ("images per second", number(summary["examples_per_s"])),
        *place_and_time(summary),
    ]
    return [(label, text) for label, text in rows if text]
