"""How the numbers of a row of metrics are named as curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NO_CURVES = ("step", "epoch")


def scalars(row: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The numbers of a row of metrics, named as curves: ``train/loss``, ``validation/loss``."""
    return [
        (curve_name(key), float(value))
        for key, value in row.items()
        if key not in _NO_CURVES and isinstance(value, int | float)
    ]


def curve_name(key: str) -> str:
    """Under which name a key of ``metrics.jsonl`` is shown.

    >>> [curve_name(key) for key in ("loss", "val_accuracy", "sample_s", "workers")]
    ['train/loss', 'validation/accuracy', 'time/sample_s', 'cluster/workers']
    """
    if key.startswith("val_"):
        return f"validation/{key.removeprefix('val_')}"
    if key.endswith("_s") and not key.endswith("_per_s"):
        return f"time/{key}"
    where = "cluster" if key in _OF_CLUSTER else "train"
    return f"{where}/{key}"


_OF_CLUSTER = (
    "workers", "workers_wanted", "workers_lost", "shards_recomputed", "queue_depth", "tasks",
    "tasks_per_s", "examples", "examples_per_s", "gpu_memory_bytes", "gpu_memory_share",
)  # fmt: skip
