"""Where a sweep stands, for ``status.json`` and Prometheus."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import TrialState as OptunaState
from typing_extensions import override

from metaray.platform.callbacks.base import RunInfo
from metaray.platform.callbacks.events import Event
from metaray.platform.callbacks.live_status import LiveStatus
from metaray.platform.run.status import Best, Status, TrialState
from metaray.platform.sweep.events import (
    TrialEnded,
    TrialPaused,
    TrialStarted,
    TrialValidated,
)
from metaray.platform.sweep.plan import DIRECTIONS

_ENDED = {
    OptunaState.COMPLETE: "complete",
    OptunaState.PRUNED: "pruned",
    OptunaState.FAIL: "failed",
}


class SweepStatus(LiveStatus):
    """The status of a sweep, with its trials and the best of them."""

    def __init__(self, info: RunInfo, metric: str, study: optuna.Study, num_trials: int) -> None:
        """``metric`` is optimized; trials that have ended already are taken from ``study``."""
        super().__init__(info)
        self._metric = metric
        self._trials: dict[int, TrialState] = {}
        self._best: Best | None = None
        self.update(planned_trials=num_trials)
        for trial in study.get_trials(deepcopy=False):
            if (state := _ENDED.get(trial.state)) is None:
                continue
            self._set(trial.number, state=state, values=trial.params)
            if state == "complete":
                self._set(trial.number, metrics={metric: trial.values[0]})
                self._compare(trial.number, trial.values[0])

    @override
    def on_event(self, event: Event) -> None:
        super().on_event(event)
        match event:
            case TrialStarted():
                self._set(event.number, state="running", values=event.values)
            case TrialPaused():
                self._set(event.number, state="waiting")
            case TrialValidated():
                self._set(event.number, metrics=event.metrics)
            case TrialEnded():
                self._end(event)

    @override
    def refresh(self) -> Status:
        self.update(trials=tuple(self._trials.values()), best=self._best)
        return super().refresh()

    def _end(self, event: TrialEnded) -> None:
        self._set(event.number, state=event.state)
        if event.metrics:
            self._set(event.number, metrics=event.metrics)
        if event.state == "complete":
            self._compare(event.number, event.metrics[self._metric])

    def _compare(self, number: int, value: float) -> None:
        sign = 1 if DIRECTIONS[self._metric] == "maximize" else -1
        if self._best is None or sign * value > sign * self._best.value:
            self._best = Best(trial=number, metric=self._metric, value=value)

    def _set(self, number: int, **changes: Any) -> None:
        trial = self._trials.get(number, TrialState(number=number, state="running"))
        self._trials[number] = replace(trial, **changes)
