"""Tune's ASHA, which ends poor trials early so that others can begin."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import optuna
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler

from metaray.platform.sweep.plan import SweepPlan

_REDUCTION = 3  # a third of the trials pass each rung (Li et al. 2020, Massively parallel tuning)


def make_scheduler(plan: SweepPlan, outer_steps: int, study: optuna.Study) -> Any:
    """The scheduler of ``plan`` over trials of at most ``outer_steps``.

    ASHA is told what finished trials of an interrupted sweep had reported, so that it judges the
    others as it would have.
    """
    if plan.scheduler == "none":
        return FIFOScheduler()
    scheduler = AsyncHyperBandScheduler(
        metric=plan.metrics[0],
        mode="max" if plan.directions[0] == "maximize" else "min",
        time_attr="step",
        max_t=outer_steps + 1,  # a trial that is through ends by itself
        grace_period=plan.grace,
        reduction_factor=_REDUCTION,
    )
    for trial in study.get_trials(deepcopy=False):
        if trial.state.is_finished():
            before: Any = SimpleNamespace(trial_id=f"before-{trial.number}")
            nobody: Any = None  # ASHA asks the controller nothing
            scheduler.on_trial_add(nobody, before)
            for step, value in sorted(trial.intermediate_values.items()):
                result = {"step": step, plan.metrics[0]: value}
                scheduler.on_trial_result(nobody, before, result)
    return scheduler
