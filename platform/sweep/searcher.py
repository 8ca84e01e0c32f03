"""Tune's side of the study: what to try next, and its result.

Tune's own ``OptunaSearch`` records a trial that a scheduler ended early as complete, samples on
from another random state after a restart, and cannot continue with a trial whose result the storage
has already. Here the study is the only memory, and what a trial left in its run directory decides.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from ray.tune.search import Searcher
from sqlalchemy.exc import SQLAlchemyError
from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.base import Callback
from metaray.platform.callbacks.events import Message
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.config.tree import flat
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.platform.sweep import study as studies
from metaray.platform.sweep.events import TrialEnded, TrialStarted, TrialValidated
from metaray.platform.sweep.outcome import Metrics, TrialResult
from metaray.platform.sweep.plan import SweepPlan
from metaray.platform.sweep.sampling import draw, make_sampler
from metaray.platform.sweep.space_file import SpaceFunction
from metaray.tune_spaces.space import Space

_MOST_LOST_STARTS = 5  # of one trial


class StudySearcher(Searcher):
    """Proposes the trials of a plan, first those that an earlier process left unfinished."""

    def __init__(
        self,
        plan: SweepPlan,
        space: Space | SpaceFunction,
        folder: SweepDirectory,
        study: optuna.Study,
        num_trials: int,
        parallel: int,
        callbacks: Callback,
        stopping: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._plan = plan
        self._space = space
        self._folder = folder
        self._study = study
        self._num_trials = num_trials
        self._parallel = parallel
        self._callbacks = callbacks
        self._asked_to_stop = stopping
        self._left_over = deque(studies.reopen(study, t) for t in studies.unfinished(study))
        self._lost_starts: Counter[int] = Counter()
        self._running: dict[str, optuna.Trial] = {}
        self._fixed = dict(flat(plan.base.model_dump()))
        self._until: int | None = None
        self.lost: Exception | None = None
        """why the study cannot be reached any more; what trials do then is found on resuming"""

    @override
    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The specification of the next trial, for ``run_trial``; None where there is none now."""
        with self._watched():
            return self._suggest(trial_id)
        return str(Searcher.FINISHED)

    def _suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        while not self._stopping():
            if len(self._running) >= self._parallel:
                return None
            trial = self._next()
            if trial is None:
                return None if self._running else str(Searcher.FINISHED)  # one may come back
            if TrialResult.read(self._folder.trial(trial.number)) is not None:
                self._conclude(trial, {})  # it ended, and its process died before the study knew
                continue
            try:
                values = self._values(trial)
                config = self._plan.config_of(values)
            except InputError as error:
                self._fail(trial, str(error))
                continue
            self._running[trial_id] = trial
            self._callbacks.on_event(TrialStarted(number=trial.number, values=values))
            return self._spec(trial.number, config)
        return str(Searcher.FINISHED)

    @override
    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """A validation of a trial that continues."""
        if self.lost is None:
            with self._watched():
                self._learn(self._running[trial_id], result)

    @override
    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """A trial is over: by itself, ended by the scheduler, or with the whole sweep."""
        trial = self._running.pop(trial_id, None)
        if trial is None or self.lost is not None:
            return
        folder = self._folder.trial(trial.number)
        if error and TrialResult.read(folder) is None:
            reason = "its process died more often than the sweep restarts one"
            folder.mkdir(parents=True, exist_ok=True)
            TrialResult(metrics={}, failure=reason).write(folder)
        with self._watched():
            self._conclude(trial, result or {})

    def take_back(self, trial_id: str) -> None:
        """Propose again a trial that Tune accepted and never started; often enough, it fails."""
        trial = self._running.pop(trial_id, None)
        if trial is None or self.lost is not None:
            return
        self._lost_starts[trial.number] += 1
        if self._lost_starts[trial.number] <= _MOST_LOST_STARTS:
            text = f"trial {trial.number} could not start in a process that is busy: starting again"
            self._callbacks.on_event(Message(text=text))
            self._left_over.append(trial)
            return
        with self._watched():
            self._fail(trial, f"Ray Tune could not start it in {_MOST_LOST_STARTS + 1} attempts")

    def _stopping(self) -> bool:
        return self.lost is not None or self._asked_to_stop()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Note a storage that does not answer: Tune would print and pass over it."""
        try:
            yield
        except (SQLAlchemyError, StorageInternalError) as error:
            self.lost = error

    def conclude_ended(self) -> None:
        """Take in trials that came to their end while the sweep was being stopped."""
        with self._watched():
            for frozen in studies.unfinished(self._study):
                if TrialResult.read(self._folder.trial(frozen.number)) is not None:
                    self._conclude(studies.reopen(self._study, frozen), {})

    @override
    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for the copies that Tune pickles: a sweep is never restored from them."""
        return {}

    @override
    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is saved with every change."""

    @override
    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a sweep is resumed from its study."""

    def _next(self) -> optuna.Trial | None:
        if self._left_over:
            return self._left_over.popleft()
        number = studies.begun(self._study)
        if number >= self._num_trials:
            return None
        self._study.sampler = make_sampler(self._plan.sampler, self._space, self._plan.seed, number)
        return self._study.ask()

    def _values(self, trial: optuna.Trial) -> dict[str, Any]:
        """By path: what the trial has already, or new ones."""
        return draw(self._space, trial, self._fixed)

    def _spec(self, number: int, config: ExperimentConfig) -> dict[str, Any]:
        return {
            "folder": str(self._folder.trial(number)),
            "config": config.model_dump_json(),
            "time_adaptation": "adapt_s" in self._plan.metrics,
            "until": self._until,
        }

    def _learn(self, trial: optuna.Trial, metrics: Metrics) -> None:
        value = metrics.get(self._plan.metrics[0])
        if value is None:
            return
        self._callbacks.on_event(TrialValidated(number=trial.number, metrics=metrics))
        if len(self._plan.metrics) == 1:  # Optuna keeps no history of several
            studies.report(trial, value, metrics["step"])

    def _conclude(self, trial: optuna.Trial, result: Metrics) -> None:
        """Tell the study what the run directory says, or that the trial was ended early."""
        outcome = TrialResult.read(self._folder.trial(trial.number))
        if outcome is None:
            self._learn(trial, result)
            if self._stopping():  # it stays unfinished, which --resume continues
                self._ended(trial.number, "unfinished", result)
                return
            studies.tell_pruned(trial, result.get("step", 0))
            self._ended(trial.number, "pruned", result)
        elif outcome.failure is not None:
            self._fail(trial, outcome.failure)
        else:
            values = [outcome.metrics[name] for name in self._plan.metrics]
            self._learn(trial, outcome.metrics)
            studies.tell_complete(trial, values, outcome.metrics["step"])
            self._ended(trial.number, "complete", outcome.metrics)

    def _fail(self, trial: optuna.Trial, reason: str) -> None:
        studies.tell_failed(trial, reason)
        self._ended(trial.number, "failed", {}, reason)

    def _ended(self, number: int, state: str, metrics: Metrics, reason: str | None = None) -> None:
        text = "" if reason is None else f"trial {number} failed: {reason}"
        self._callbacks.on_event(
            TrialEnded(number=number, state=state, metrics=metrics, reason=reason, text=text)
        )
