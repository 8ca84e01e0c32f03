"""The metrics of a run as Ray exports them to Prometheus."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from metaray.cluster.monitoring import catalog
from metaray.cluster.monitoring.catalog import METRICS, Metric
from metaray.platform.run.status import TRIAL_STATES, Status

Row = Mapping[str, Any]


def on_ray() -> bool:
    """Whether this process is a part of a Ray cluster now. Does not import Ray."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


class RayExporter:
    """Hands values to Ray. Needs an initialised Ray, from the first call to the last."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = dict(labels)
        self._handles = {metric.name: _handle(metric) for metric in METRICS}
        self._gauges: dict[tuple[str, str], float] = {}
        self._seen: dict[str, float] = defaultdict(float)

    def publish(self, rows: Sequence[Row], status: Status, now_s: float) -> None:
        """Count ``rows``, and tell all gauges again: Ray forgets those that are not told."""
        for row in rows:
            self._take(row)
        if rows:
            self._add(catalog.STEPS, float(len(rows)))
            self._set(catalog.LAST_STEP, now_s)
        if status.planned_trials:
            self._look_at_sweep(status)
        else:
            self._set(catalog.TRAINING, float(status.state == "training"))
            self._set(catalog.PLANNED_STEPS, status.total_steps)
        for (name, label), value in self._gauges.items():
            self._handles[name].set(value, tags=self._tags(name, label))

    def failed(self, reason: str) -> None:
        """The run ended with an error."""
        self._add(catalog.FAILURES, 1.0, reason)

    def _look_at_sweep(self, status: Status) -> None:
        self._set(catalog.PLANNED_TRIALS, status.planned_trials)
        states = [trial.state for trial in status.trials]
        for state in TRIAL_STATES:
            self._set(catalog.TRIALS, states.count(state), state)
        if status.best is not None:
            self._set(catalog.BEST, status.best.value, status.best.metric)

    def _take(self, row: Row) -> None:
        for metric in METRICS:
            for label, keys in metric.rows.items():
                key = next((key for key in keys if row.get(key) is not None), None)
                if key is None:
                    continue
                value = float(row[key])
                if metric.type == "gauge":
                    self._set(metric, value, label)
                    continue
                if key in catalog.CUMULATIVE:
                    value, self._seen[key] = value - self._seen[key], value
                self._add(metric, value, label)

    def _set(self, metric: Metric, value: float, label: str = "") -> None:
        self._gauges[metric.name, label] = value

    def _add(self, metric: Metric, value: float, label: str = "") -> None:
        if value > 0:  # Ray counts nothing else
            self._handles[metric.name].inc(value, tags=self._tags(metric.name, label))

    def _tags(self, name: str, label: str) -> dict[str, str]:
        extra = _LABELS[name]
        return self._labels if extra is None else self._labels | {extra: label}


_LABELS = {metric.name: metric.label for metric in METRICS}


def _handle(metric: Metric) -> Any:
    from ray.util.metrics import Counter, Gauge

    made = Gauge if metric.type == "gauge" else Counter
    return made(metric.name, metric.help, tag_keys=metric.labels)
