"""A comparison asks the experiment for all that depends on the kind of run."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaray.algorithms.errors import InputError
from metaray.platform.compare.kind import comparison_of
from metaray.platform.compare.make_plan import make_plan, named_entries
from metaray.platform.compare.plan import Entry, Plan
from metaray.platform.experiment.comparison import Budget, Curves
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.meta_comparison import META_COMPARISON
from metaray.platform.experiment.transfer import TRANSFER

STEPS = Budget(unit="steps", amount=5)
GOT_JOBS = r"compares meta-training runs, and got transfer jobs \(head\): leave .* job\.\*"


def test_runs_of_meta_training_are_compared() -> None:
    assert comparison_of({"maml": META, "anil": META}) is META_COMPARISON


def test_transfer_jobs_are_refused_from_every_source(tmp_path: Path) -> None:
    file = tmp_path / "head.toml"
    file.write_text('[job]\nname = "finetune"\n')
    with pytest.raises(InputError, match=GOT_JOBS):
        make_plan(named_entries([file], "maml", []), budget=STEPS)
    with pytest.raises(InputError, match=r"got transfer jobs \(maml\)"):
        named_entries([], "maml", ["job.name=finetune"])


def test_a_plan_keeps_configs_of_any_kind(tmp_path: Path) -> None:
    """They are written with all their settings, and read as what they were."""
    plan = Plan(
        entries=(Entry(name="head", config=TRANSFER.resolve({"job": {"strategy": "head"}})),),
        seeds=(0,),
        budget=STEPS,
        curves=Curves(shots=(1,), ways=(), queries=1, episodes=2),
    )
    plan.write(tmp_path / "compare.json")
    assert Plan.read(tmp_path / "compare.json") == plan
    with pytest.raises(InputError, match=GOT_JOBS):
        _ = plan.comparison


def test_a_budget_is_given_once() -> None:
    assert Budget.of(tasks=30) == Budget(unit="tasks", amount=30)
    assert Budget.of(seconds=0.5).text == "0.5 s of training"
    with pytest.raises(InputError, match="needs one budget for all, got none"):
        Budget.of()
    with pytest.raises(InputError, match="needs one budget for all, got 2"):
        Budget.of(steps=1, seconds=1)
    with pytest.raises(InputError, match="budget of steps is 0: give a number above 0"):
        Budget.of(steps=0)
