"""Who is ended early, and where: ASHA and asynchronous HyperBand over real studies."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import TrialState

from metaray.platform.sweep.schedulers import bracket_order, make_scheduler, num_brackets

Make = Callable[..., Any]
STEPS = 18
SETS = [f"train.outer_steps={STEPS}", "train.validate_every=2"]


def falling(sweep: Any, num_trials: int) -> dict[int, int]:
    """The step at which each of ``num_trials`` is ended (or the last), each worse than before."""
    scheduler = make_scheduler(sweep.plan, STEPS, sweep.study)
    ends = {}
    for number in range(num_trials):
        trial = SimpleNamespace(
            trial_id=f"t{number}", config={"folder": str(sweep.folder.trial(number))}
        )
        scheduler.on_trial_add(None, trial)
        for step in range(2, STEPS + 1, 2):
            result = {"step": step, "val_accuracy": 1 / (2 + number)}
            ends[number] = step
            if scheduler.on_trial_result(None, trial, result) == "STOP":
                break
    return ends


@pytest.mark.parametrize(
    ("scheduler", "expected"), [("asha", {2}), ("hyperband", {2, 6, 18}), ("none", {18})]
)
def test_poor_trials_are_ended_at_the_rungs_of_their_bracket(
    bench: Make, scheduler: str, expected: set[int]
) -> None:
    sweep = bench(scheduler=scheduler, grace=2, sets=SETS)
    ends = falling(sweep, 40)
    order = bracket_order(num_brackets(2, STEPS) if scheduler == "hyperband" else 1)
    firsts = [order.index(bracket) for bracket in set(order)]
    assert {step for number, step in ends.items() if number not in firsts} == expected
    for number, step in ends.items():
        if scheduler == "hyperband" and number not in firsts:
            assert step == (2, 6, STEPS)[order[number % len(order)]]


def test_each_bracket_costs_about_the_same() -> None:
    """Li et al. 2018: brackets that begin with fewer trials give each of them more."""
    order = bracket_order(4)
    assert [order.count(bracket) for bracket in range(4)] == [27, 12, 6, 4]
    assert set(order[:5]) >= {0, 1, 2}
    assert bracket_order(1) == [0]
    assert num_brackets(100, 60) == 1


@pytest.mark.parametrize("scheduler", ["asha", "hyperband"])
def test_a_resumed_sweep_judges_by_what_came_before(bench: Make, scheduler: str) -> None:
    sweep = bench(scheduler=scheduler, grace=2, sets=SETS, sampler="random", num_trials=2)
    searcher = sweep.searcher()
    for number in range(2):
        assert isinstance(searcher.suggest(f"t{number}"), dict)
        searcher.on_trial_complete(f"t{number}", {"step": 2, "val_accuracy": 0.9})
    assert [trial.state for trial in sweep.trials] == [TrialState.PRUNED] * 2
    assert falling(sweep, 4)[2 if scheduler == "hyperband" else 0] == 2
