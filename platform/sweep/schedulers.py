"""Successive halving by Tune, which ends poor trials early so that others can begin."""

from __future__ import annotations

from math import ceil, log
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler
from typing_extensions import override

from metaray.platform.run.sweep_directory import trial_number
from metaray.platform.sweep.plan import SweepPlan

_REDUCTION = 3  # a third of the trials pass each rung (Li et al. 2020, Massively parallel tuning)


def make_scheduler(plan: SweepPlan, outer_steps: int, study: optuna.Study) -> TrialScheduler:
    """The scheduler of ``plan`` over trials of at most ``outer_steps``.

    It is told what finished trials of an interrupted sweep had reported, so that it judges the
    others as it would have.
    """
    if plan.scheduler not in ("asha", "hyperband"):
        return FIFOScheduler()
    several = plan.scheduler == "hyperband"
    brackets = num_brackets(plan.grace, outer_steps) if several else 1
    scheduler = SuccessiveHalving([_asha(plan, outer_steps, s) for s in range(brackets)])
    for trial in study.get_trials(deepcopy=False):
        if trial.state.is_finished():
            scheduler.replay(trial, plan.metrics[0])
    return scheduler


class SuccessiveHalving(FIFOScheduler):
    """Brackets of ASHA side by side: asynchronous HyperBand, or ASHA itself where there is one.

    Bracket s has its first rung after ``grace * 3**s`` steps. Tune's scheduler has brackets too,
    but assigns them by a global random state; here the number of a trial decides, so that a sweep
    that is resumed puts it where it was.
    """

    def __init__(self, brackets: list[AsyncHyperBandScheduler]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._brackets = brackets
        self._order = bracket_order(len(brackets))
        self._of: dict[str, AsyncHyperBandScheduler] = {}

    @override
    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Put a trial into its bracket."""
        number = trial_number(Path(trial.config["folder"]))
        bracket = self._brackets[self._order[number % len(self._order)]]
        self._of[trial.trial_id] = bracket
        bracket.on_trial_add(tune_controller, trial)

    @override
    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether the trial continues."""
        bracket = self._of[trial.trial_id]
        return str(bracket.on_trial_result(tune_controller, trial, result))

    @override
    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """What it came to counts for the others of its bracket."""
        self._of[trial.trial_id].on_trial_complete(tune_controller, trial, result)

    @override
    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """It was ended before it could be judged."""
        self._of[trial.trial_id].on_trial_remove(tune_controller, trial)

    def replay(self, trial: optuna.trial.FrozenTrial, metric: str) -> None:
        """Learn what a trial of an earlier process had reported."""
        config = {"folder": f"{trial.number:04d}"}
        before: Any = SimpleNamespace(trial_id=f"before-{trial.number}", config=config)
        self.on_trial_add(None, before)  # ASHA asks the controller nothing
        for step, value in sorted(trial.intermediate_values.items()):
            self.on_trial_result(None, before, {"step": step, metric: value})


def num_brackets(grace: int, outer_steps: int) -> int:
    """As many as have a rung before the last step, and one whose trials all run to their end.

    >>> num_brackets(20, 200)
    4
    """
    return 1 + max(0, ceil(log(outer_steps / grace, _REDUCTION) - 1e-9))


def bracket_order(brackets: int) -> list[int]:
    """The bracket of each of the first trials, after which it repeats.

    The shares are those of HyperBand (Li et al. 2018, Algorithm 1), in which each bracket costs
    about the same; they are spread evenly, since all brackets run at once.

    >>> bracket_order(2)
    [0, 1, 0, 1, 0]
    """
    last = brackets - 1
    sizes = [ceil(brackets / (s + 1) * _REDUCTION**s) for s in range(brackets)]
    places = [((i + 0.5) / size, last - s) for s, size in enumerate(sizes) for i in range(size)]
    return [bracket for _, bracket in sorted(places)]


def _asha(plan: SweepPlan, outer_steps: int, bracket: int) -> AsyncHyperBandScheduler:
    longest = outer_steps + 1  # a trial that is through ends by itself
    return AsyncHyperBandScheduler(
        metric=plan.metrics[0],
        mode="max" if plan.directions[0] == "maximize" else "min",
        time_attr="step",
        max_t=longest,
        grace_period=min(plan.grace * _REDUCTION**bracket, longest),
        reduction_factor=_REDUCTION,
    )
