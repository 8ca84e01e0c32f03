"""The result of a transfer job in words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from metaray.platform.experiment.references import MEANINGS
from metaray.platform.report.words import data_title

TITLES = {
    "finetune": "Fine-tuning",
    "dann": "Domain adaptation",
    "distill": "Distillation",
    "simclr": "SimCLR",
    "moco": "MoCo",
}


def title(summary: Mapping[str, Any]) -> str:
    """Job and data."""
    head = f"{TITLES.get(summary['job'], summary['job'])} on {data_title(summary['dataset'])}"
    if summary["target"] is not None:
        role = "tested on" if summary["tests_target"] else "adapted to"
        head += f", {role} {data_title(summary['target'])}"
    labels = summary["labels_per_class"]
    return head if labels is None else f"{head}, {labels} label{'s' * (labels > 1)} per class"


def percent(figures: Mapping[str, Any], digits: int = 2) -> str:
    """An accuracy with half the width of its interval."""
    return f"{100 * figures['accuracy']:.{digits}f} % ± {100 * figures['ci95']:.{digits}f}"


def compared(summary: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """What the result is to be compared with: a name, what it is, and its figures."""
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
        (name, f"{MEANINGS[name]}; {figures['training']}", figures)
        for name, figures in summary.get("references", {}).items()
    ]
    return rows


def is_probed(summary: Mapping[str, Any]) -> bool:
    """Whether the job has no classifier of its own, so that a linear one on its features is the
    result."""
    return "linear_probe" in summary["probes"]


_PROBES = {  # the linear one is the result itself
    "nearest_centroid": "nearest class mean of the features after training",
    "knn_probe": "k nearest neighbours of the features after training",
}


def result_lines(summary: Mapping[str, Any]) -> list[str]:
    """The result in a few lines, with markup."""
    lines = [
        f"[bold]{title(summary)}[/]: accuracy [bold]{percent(summary)}[/] "
        f"({summary['num_examples']:,} test pictures)"
    ]
    return lines + [
        f"  {name}: {percent(found)} ({text})" for name, text, found in compared(summary)
    ]


def measured(summary: Mapping[str, Any]) -> list[str]:
    """What was measured and how, a sentence each."""
    pictures = summary["pictures"]
    count = f"{summary['num_examples']:,}"
    how = "by a linear classifier on its features" if is_probed(summary) else ""
    sentences = [
        f"Accuracy over {count} test pictures that training never saw"
        + (f", {how}" if how else "")
        + ", with Wilson's 95 % interval over the pictures.",
        f"There were {pictures['train']:,} pictures of {summary['num_classes']} classes to train "
        f"on, and {pictures['val']:,} for validation.",
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


def figure_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The summary as a table: what, and how much. Lines without a figure are left out."""
    low, high = summary["interval"]
    validation = summary["val_accuracy"]
    rate = summary["examples_per_s"]
    rows = [
        ("test accuracy", percent(summary)),
        ("95 % interval", f"{100 * low:.2f} % to {100 * high:.2f} %"),
        ("validation accuracy", "" if validation is None else f"{100 * validation:.2f} %"),
        ("negative log likelihood", f"{summary['loss']:.4f}" if "loss" in summary else ""),
        ("expected calibration error", f"{summary['ece']:.4f}" if "ece" in summary else ""),
        *((text, percent(found)) for _, text, found in compared(summary)),
        ("steps done", f"{summary['steps']:,} of {summary['planned_steps']:,}"),
        ("step tested", f"{summary['tested_step']:,}"),
        ("training time", str(timedelta(seconds=round(summary["wall_s"])))),
        ("pictures per second", "" if rate is None else f"{rate:.4g}"),
        ("workers", str(summary["workers"])),
        ("parameters", f"{summary['num_parameters']:,}"),
        ("SHA-256 of the parameters", summary["params_sha256"]),
    ]
    return [(label, text) for label, text in rows if text]
