"""Looks on a sweep, as an ``SweepCallback`` that passes all on to the one that a person sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import TrialState as OptunaState

from metaray.platform.callbacks.identity import Identity
from metaray.platform.callbacks.publisher import Publisher
from metaray.platform.run.status import Best, TrialState
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.platform.sweep.callback import SweepCallback
from metaray.platform.sweep.outcome import Metrics
from metaray.platform.sweep.plan import DIRECTIONS, SweepPlan
from metaray.platform.sweep.population import Exploit

_ENDED = {
    OptunaState.COMPLETE: "complete",
    OptunaState.PRUNED: "pruned",
    OptunaState.FAIL: "failed",
}


@contextmanager
def observed_sweep(
    folder: SweepDirectory, plan: SweepPlan, study: optuna.Study, num_trials: int
) -> Iterator[SweepObserver]:
    """An observer of the sweep in ``folder``, which shall have ``num_trials``."""
    observer = SweepObserver(folder, plan)
    observer.remember(study)
    observer.update(planned_trials=num_trials, total_steps=plan.steps)
    with observer.running():
        yield observer


class SweepObserver(Publisher):
    """Made by ``observed_sweep``."""

    def __init__(self, folder: SweepDirectory, plan: SweepPlan) -> None:
        identity = Identity(kind="sweep", run=folder.path.name)
        super().__init__(folder.path, identity, plan.base.monitoring.export)
        self._metric = plan.metrics[0]
        self._trials: dict[int, TrialState] = {}
        self._best: Best | None = None
        self._audience: SweepCallback | None = None

    def remember(self, study: optuna.Study) -> None:
        """The trials that ended before the sweep was resumed."""
        for trial in study.get_trials(deepcopy=False):
            if (state := _ENDED.get(trial.state)) is None:
                continue
            self._set(trial.number, state=state, values=trial.params)
            if state == "complete":
                self._set(trial.number, metrics={self._metric: trial.values[0]})
                self._compare(trial.number, trial.values[0])

    @contextmanager
    def passing_on(self, audience: SweepCallback) -> Iterator[SweepCallback]:
        """An audience for the time that trials run, which tells ``audience`` all."""
        self._audience = audience
        self.update(state="training")
        try:
            yield self
        finally:
            self._audience = None

    def started(self, number: int, values: dict[str, Any]) -> None:
        """See SweepCallback."""
        self._set(number, state="running", values=values)
        self._others.started(number, values)

    def waits(self, number: int) -> None:
        """See SweepCallback."""
        self._set(number, state="waiting")
        self._others.waits(number)

    def on_exploit(self, takeover: Exploit) -> None:
        """See SweepCallback."""
        self.note(
            f"trial {takeover.trial} takes over from trial {takeover.source} at step "
            f"{takeover.step}"
        )
        self._others.on_exploit(takeover)

    def validated(self, number: int, metrics: Metrics) -> None:
        """See SweepCallback."""
        self._set(number, metrics=metrics)
        self._others.validated(number, metrics)

    def ended(self, number: int, state: str, metrics: Metrics, reason: str | None) -> None:
        """See SweepCallback."""
        self._set(number, state=state)
        if metrics:
            self._set(number, metrics=metrics)
        if reason is not None:
            self.note(f"trial {number} failed: {reason}")
        if state == "complete":
            self._compare(number, metrics[self._metric])
        self._others.ended(number, state, metrics, reason)

    @property
    def _others(self) -> SweepCallback:
        assert self._audience is not None  # trials run within ``passing_on``
        return self._audience

    def _compare(self, number: int, value: float) -> None:
        sign = 1 if DIRECTIONS[self._metric] == "maximize" else -1
        if self._best is None or sign * value > sign * self._best.value:
            self._best = Best(trial=number, metric=self._metric, value=value)

    def _set(self, number: int, **changes: Any) -> None:
        trial = self._trials.get(number, TrialState(number=number, state="running"))
        self._trials[number] = replace(trial, **changes)

    def _look(self, now_s: float) -> None:
        super()._look(now_s)
        self.update(trials=tuple(self._trials.values()), best=self._best)
