"""Tune's side of a population: all trials train to a step, some take over, all continue."""

from __future__ import annotations

from typing import Any

import optuna
from typing_extensions import override

from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsLog
from metaray.platform.sweep import study as studies
from metaray.platform.sweep.events import TrialExploited, TrialPaused
from metaray.platform.sweep.exploit import carry_out, last_saved_step
from metaray.platform.sweep.outcome import Metrics, TrialResult
from metaray.platform.sweep.population import exploits_at
from metaray.platform.sweep.searcher import StudySearcher


class PopulationSearcher(StudySearcher):
    """Orders every trial to the next step of comparison before any may go beyond it.

    Tune's ``PopulationBasedTraining`` refuses search algorithms, and with them our study; it keeps
    its population in memory and draws from a global random state. Here exploits follow from the
    seed and the run directories, and are in the study before they happen: a sweep that was killed
    at any moment continues as if it had not been.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waiting: set[int] = set()
        self._carry_out()  # what an earlier process had decided and perhaps not done
        self._until = self._next_stop()

    @override
    def _next(self) -> optuna.Trial | None:
        while True:
            trial = super()._next()
            if trial is None:
                if self._running or not self._waiting:
                    return None
                self._compare()
            elif self._has_arrived(trial.number):
                self._waiting.add(trial.number)
            else:
                return trial

    @override
    def _values(self, trial: optuna.Trial) -> dict[str, Any]:
        return {**super()._values(trial), **studies.rates_now(self._study, trial.number)}

    @override
    def _conclude(self, trial: optuna.Trial, result: Metrics) -> None:
        ended = TrialResult.read(self._folder.trial(trial.number)) is not None
        if ended or not self._has_arrived(trial.number):
            super()._conclude(trial, result)
            return
        self._learn(trial, result)
        self._waiting.add(trial.number)
        self._callbacks.on_event(TrialPaused(number=trial.number))

    def _compare(self) -> None:
        step = self._until
        assert step is not None  # no trial waits at the end
        assert isinstance(self._space, dict)  # as checked
        members = [t for t in studies.unfinished(self._study) if t.number in self._waiting]
        found = exploits_at(
            step,
            self._plan,
            self._space,
            values={t.number: self._value_at(t.number, step) for t in members},
            rates={
                t.number: {**t.params, **studies.rates_now(self._study, t.number)} for t in members
            },
        )
        studies.record_exploits(self._study, step, found)
        self._carry_out()
        for exploit in found:
            self._callbacks.on_event(
                TrialExploited(
                    number=exploit.trial,
                    exploit=exploit,
                    text=f"trial {exploit.trial} continues from trial {exploit.source} at step "
                    f"{exploit.step}",
                )
            )
        self._waiting.clear()
        self._left_over.extend(studies.reopen(self._study, member) for member in members)
        self._until = self._next_stop()

    def _carry_out(self) -> None:
        params = {t.number: t.params for t in studies.unfinished(self._study)}
        for exploit in studies.exploits(self._study).get(studies.last_compared(self._study), []):
            if exploit.trial in params:
                config = self._plan.config_of({**params[exploit.trial], **exploit.rates})
                carry_out(self._folder, exploit, config)

    def _next_stop(self) -> int | None:
        step = studies.last_compared(self._study) + self._plan.grace
        return step if step < self._plan.steps else None

    def _has_arrived(self, number: int) -> bool:
        saved = last_saved_step(self._folder.trial(number))
        return self._until is not None and saved >= self._until

    def _value_at(self, number: int, step: int) -> float:
        rows = MetricsLog.read(RunDirectory(self._folder.trial(number)).metrics)
        return float(next(row for row in rows if row["step"] == step)[self._plan.metrics[0]])
