"""The result of a transfer job in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metaray.platform.report.words import data_title
from metaray.platform.transfer.references import MEANINGS

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
        head += f", tested on {data_title(summary['target'])}"
    labels = summary["labels_per_class"]
    return head if labels is None else f"{head}, {labels} label{'s' * (labels > 1)} per class"


def percent(figures: Mapping[str, Any], digits: int = 2) -> str:
    """An accuracy with half the width of its interval."""
    return f"{100 * figures['accuracy']:.{digits}f} % ± {100 * figures['ci95']:.{digits}f}"


def compared(summary: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """What the result is to be compared with: a name, what it is, and its figures."""
    rows: list[tuple[str, str, Mapping[str, Any]]] = [
        (
            "before",
            "nearest class mean of the features before training",
            summary["before"],
        )
    ]
    rows += [(kind, _PROBES[kind], figures) for kind, figures in summary.get("probes", {}).items()]
    rows += [
        (name, MEANINGS[name], figures) for name, figures in summary.get("references", {}).items()
    ]
    return rows


_PROBES = {
    "nearest_centroid": "nearest class mean of the features after training",
    "knn_probe": "k nearest neighbours of the features after training",
    "linear_probe": "linear classifier on the features after training",
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
