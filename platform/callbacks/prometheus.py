"""The metrics of a run as Ray exports them to Prometheus."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping
from time import time
from typing import Any

from typing_extensions import override

from metaray.cluster.monitoring import catalog
from metaray.cluster.monitoring.catalog import METRICS, Metric
from metaray.platform.callbacks.base import BackgroundCallback
from metaray.platform.callbacks.events import Attached, Detached, Event
from metaray.platform.callbacks.identity import Identity
from metaray.platform.callbacks.live_status import LiveStatus
from metaray.platform.common.errors import NonFiniteError, Stopped, WorkersLostError
from metaray.platform.run.metrics_log import MetricsRow
from metaray.platform.run.status import TRIAL_STATES, Status


def on_ray() -> bool:
    """Whether this process is a part of a Ray cluster now. Does not import Ray."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


class Prometheus(BackgroundCallback):
    """Hands values to Ray as long as workers are attached, where the run uses Ray."""

    uses_workers = True

    def __init__(self, identity: Identity, status: LiveStatus) -> None:
        self._labels = identity.labels
        self._status = status
        self._exporter: RayExporter | None = None

    @override
    def on_step(self, row: MetricsRow) -> None:
        if self._exporter is not None:
            self._exporter.count(row)

    @override
    def on_event(self, event: Event) -> None:
        if isinstance(event, Attached) and on_ray():
            self._exporter = RayExporter(self._labels)
        elif isinstance(event, Detached) and self._exporter is not None:
            if (reason := _reason(event.error)) is not None:
                self._exporter.count_failure(reason)
            self.flush()
            self._exporter = None

    @override
    def flush(self) -> None:
        if self._exporter is not None:
            self._exporter.publish(self._status.status)


class RayExporter:
    """Hands values to Ray. Needs an initialised Ray, from the first call to the last."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = dict(labels)
        self._handles = {metric.name: _handle(metric) for metric in METRICS}
        self._gauges: dict[tuple[str, str], float] = {}
        self._seen: dict[str, float] = defaultdict(float)
        self._steps = 0

    def count(self, row: MetricsRow) -> None:
        """Take in a step."""
        self._steps += 1
        self._take(row)

    def count_failure(self, reason: str) -> None:
        """The run ended with an error."""
        self._add(catalog.FAILURES, 1.0, reason)

    def publish(self, status: Status) -> None:
        """Hand over everything, old gauges too: Ray forgets those that are not set again."""
        if self._steps:
            self._add(catalog.STEPS, float(self._steps))
            self._set(catalog.LAST_STEP, time())
            self._steps = 0
        if status.planned_trials:
            self._look_at_sweep(status)
        else:
            self._set(catalog.TRAINING, float(status.state == "training"))
            self._set(catalog.PLANNED_STEPS, status.total_steps)
        for (name, label), value in self._gauges.items():
            self._handles[name].set(value, tags=self._tags(name, label))

    def _look_at_sweep(self, status: Status) -> None:
        self._set(catalog.PLANNED_TRIALS, status.planned_trials)
        states = [trial.state for trial in status.trials]
        for state in TRIAL_STATES:
            self._set(catalog.TRIALS, states.count(state), state)
        if status.best is not None:
            self._set(catalog.BEST, status.best.value, status.best.metric)

    def _take(self, row: MetricsRow) -> None:
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


def _reason(error: BaseException | None) -> str | None:
    """The label of ``FAILURES``, or None for a run that is done or was asked to stop."""
    if isinstance(error, NonFiniteError):
        return "non_finite"
    if isinstance(error, WorkersLostError):
        return "workers_lost"
    return "other" if isinstance(error, Exception) and not isinstance(error, Stopped) else None
