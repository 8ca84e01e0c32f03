"""Tune's schedulers, which end poor trials early so that others can begin."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, HyperBandScheduler

from metaray.platform.sweep.plan import SweepPlan

_REDUCTION = 3  # a third of the trials pass each rung (Li et al. 2020, Massively parallel tuning)


def make_scheduler(plan: SweepPlan, outer_steps: int) -> Any:
    """The scheduler of ``plan`` over trials of at most ``outer_steps``."""
    if plan.scheduler == "none":
        return FIFOScheduler()
    judged: dict[str, Any] = {
        "metric": plan.metrics[0],
        "mode": "max" if plan.directions[0] == "maximize" else "min",
        "time_attr": "step",
        "max_t": outer_steps + 1,  # a trial that is through ends by itself
        "reduction_factor": _REDUCTION,
    }
    if plan.scheduler == "hyperband":
        return HyperBandScheduler(**judged)
    return AsyncHyperBandScheduler(**judged, grace_period=plan.grace)
