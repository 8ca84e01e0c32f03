"""The metrics that runs export through Ray: their names, and where their values come from.

Export, alert rules, dashboards and the table of ``docs/monitoring.md`` all take them from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

LABELS = ("kind", "run", "trial")
"""of every metric: train, sweep or transfer; the name of the run's folder; and of a trial its
number, where ``run`` is the sweep"""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One name, and the series that it has."""

    name: str
    """as it is given to Ray, which exports ``exported``"""
    type: Literal["gauge", "counter"]
    unit: str
    help: str
    rows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """value of ``label`` -> keys of ``metrics.jsonl`` of which one has the value; under "" where
    there is no label. Empty where it does not belong to a single step."""
    label: str | None = None
    """another label beside ``LABELS``"""

    @property
    def exported(self) -> str:
        """The name at Prometheus."""
        return f"ray_{self.name}" + ("_total" if self.type == "counter" else "")

    @property
    def labels(self) -> tuple[str, ...]:
        """All that its series have."""
        return LABELS if self.label is None else (*LABELS, self.label)


def _gauge(name: str, unit: str, text: str, *keys: str) -> Metric:
    rows = {"": keys} if keys else {}
    return Metric(name=f"metaray_{name}", type="gauge", unit=unit, help=text, rows=rows)


def _counter(name: str, unit: str, text: str, *keys: str) -> Metric:
    rows = {"": keys} if keys else {}
    return Metric(name=f"metaray_{name}", type="counter", unit=unit, help=text, rows=rows)


def _split(name: str, unit: str, text: str, **keys: str) -> Metric:
    """Of training and of validation."""
    rows = {split: (key,) for split, key in keys.items()}
    return Metric(
        name=f"metaray_{name}", type="gauge", unit=unit, help=text, rows=rows, label="split"
    )


STEP = _gauge("step", "steps", "steps that are done, of all starts of the run", "step")
PLANNED_STEPS = _gauge("planned_steps", "steps", "planned steps of the run")
STEPS = _counter("steps", "steps", "steps done since the run was started or resumed")
LOSS = _split(
    "loss",
    "1",
    "loss of the last step or validation",
    train="loss",
    validation="val_loss",
)
ACCURACY = _split(
    "accuracy",
    "share",
    "share of right predictions in the last step or validation",
    train="accuracy",
    validation="val_accuracy",
)
MSE = _split("mse", "1", "mean squared error of the last validation", validation="val_mse")
GRADIENT_NORM = _gauge("gradient_norm", "1", "norm of the gradient before clipping", "grad_norm")
LEARNING_RATE = _gauge("learning_rate", "1", "outer step size, or learning rate", "meta_lr", "lr")
TASKS_RATE = _gauge("tasks_per_second", "1/s", "tasks a second in the last step", "tasks_per_s")
TASKS = _counter("tasks", "tasks", "tasks trained on", "tasks")
IMAGES_RATE = _gauge(
    "images_per_second", "1/s", "images a second in the last step", "examples_per_s"
)
IMAGES = _counter("images", "images", "images trained on", "examples")
STEP_SECONDS = _counter("step_seconds", "s", "time of steps, without validations", "step_s")
PART_SECONDS = Metric(
    name="metaray_step_part_seconds",
    type="counter",
    unit="s",
    help="time of steps by what it went to; sample and compute are added over the shards",
    rows={part: (f"{part}_s",) for part in ("sample", "compute", "transfer", "update")},
    label="part",
)
QUEUE_DEPTH = _gauge(
    "queue_depth", "shards", "most shards of the step that waited for a worker", "queue_depth"
)
WORKERS = _gauge("workers", "workers", "workers that take orders", "workers")
WORKERS_WANTED = _gauge("workers_wanted", "workers", "workers asked for", "workers_wanted")
WORKERS_LOST = _counter(
    "workers_lost",
    "workers",
    "workers that died and were replaced; in transfer jobs how often all had to start again",
    "workers_lost",
)
RECOMPUTED = _counter(
    "shards_recomputed", "shards", "shards done again since a worker died", "shards_recomputed"
)
GPU_BYTES = _gauge(
    "gpu_memory_bytes",
    "bytes",
    "memory in use on the fullest GPU of the workers, by all programs",
    "gpu_memory_bytes",
)
GPU_SHARE = _gauge(
    "gpu_memory_share", "share", "share of the memory of that GPU", "gpu_memory_share"
)
TRAINING = _gauge("training", "0 or 1", "whether the run is training: not starting, not testing")
LAST_STEP = _gauge("last_step_timestamp_seconds", "s", "when the last step ended, as Unix time")
FAILURES = Metric(
    name="metaray_failures",
    type="counter",
    unit="runs",
    help="the run ended with an error: non_finite, workers_lost or other",
    label="reason",
)
TRIALS = Metric(
    name="metaray_sweep_trials",
    type="gauge",
    unit="trials",
    help="trials of a sweep by state: running, waiting, complete, pruned, failed, unfinished",
    label="state",
)
PLANNED_TRIALS = _gauge("sweep_planned_trials", "trials", "planned trials of the sweep")
BEST = Metric(
    name="metaray_sweep_best",
    type="gauge",
    unit="of the metric",
    help="best value of the metric that a sweep optimizes, over complete trials",
    label="metric",
)

CUMULATIVE = ("workers_lost",)
"""keys of rows that are totals since the start already"""

METRICS = (
    STEP, PLANNED_STEPS, STEPS, LOSS, ACCURACY, MSE, GRADIENT_NORM, LEARNING_RATE, TASKS_RATE,
    TASKS, IMAGES_RATE, IMAGES, STEP_SECONDS, PART_SECONDS, QUEUE_DEPTH, WORKERS,
    WORKERS_WANTED, WORKERS_LOST, RECOMPUTED, GPU_BYTES, GPU_SHARE, TRAINING, LAST_STEP, FAILURES,
    TRIALS, PLANNED_TRIALS, BEST,
)  # fmt: skip
