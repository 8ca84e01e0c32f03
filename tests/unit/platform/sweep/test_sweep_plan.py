"""What can be asked of a sweep, and what is refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metaray.algorithms.errors import InputError
from metaray.platform.cli.sweep import sweep
from metaray.platform.sweep.plan import (
    SweepPlan,
    check_space,
    make_plan,
    own_values,
)
from metaray.platform.sweep.request import SweepRequest
from metaray.platform.sweep.space_file import parse_space, read_space, space_text
from metaray.tune_spaces.registry import SPACES
from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE_TOML = """
[method.inner_lr]
type = "float"
low = 0.02
high = 5
log = true

[train.schedule]
type = "choice"
options = ["constant", "step"]

[train.lr_step_every]
type = "int"
low = 100
high = 400
when = { "train.schedule" = "step" }
"""


def plan_of(settings: dict[str, Any] | None = None, **options: Any) -> SweepPlan:
    return make_plan(settings or {}, study_name="sweep", **options)


def check(plan: SweepPlan) -> None:
    plan.experiment.check_trials(plan.base, plan.metrics)


@pytest.mark.parametrize("data", ["glyphs", "omniglot"])
@pytest.mark.parametrize("method", SPACES)
def test_a_trial_of_each_method_can_be_made_from_its_space(method: str, data: str) -> None:
    settings = {"method": {"name": method}, "data": {"name": data, "root": "omniglot"}}
    plan = plan_of(settings)
    check_space(plan.experiment.space(plan.base), plan)
    check_space(SPACES[method], plan_of(settings | {"train": {"outer_steps": 9}}))


def test_a_choice_of_no_value_survives_its_file(tmp_path: Path) -> None:
    file = tmp_path / "space.toml"
    space: Space = {
        "train.clip_norm": Choice((None, 1.0)),
        "train.meta_lr": Float(0.1, 1.0, when={"train.clip_norm": None}),
    }
    file.write_text(space_text(space))
    assert read_space(file) == space


@pytest.mark.parametrize("method", SPACES)
def test_a_space_survives_its_file(method: str, tmp_path: Path) -> None:
    file = tmp_path / "space.toml"
    file.write_text(space_text(SPACES[method]))
    assert read_space(file) == SPACES[method]


def test_a_file_describes_each_kind_of_range(tmp_path: Path) -> None:
    file = tmp_path / "space.toml"
    file.write_text(SPACE_TOML)
    expected: Space = {
        "method.inner_lr": Float(0.02, 5, log=True),
        "train.schedule": Choice(("constant", "step")),
        "train.lr_step_every": Int(100, 400, when={"train.schedule": "step"}),
    }
    space = read_space(file)
    assert space == expected
    assert not callable(space)
    assert parse_space({"train": {"meta_lr": {"type": "float", "low": 1, "high": 2}}}, "f")
    check_space(space, plan_of())


@pytest.mark.parametrize(
    ("tree", "complaint"),
    [
        ({}, "describes no range"),
        ({"train": {"meta_lr": 0.1}}, "train.meta_lr is not a table"),
        ({"a": {"type": "real"}}, "'real' is not one of float, int, choice"),
        ({"a": {"type": "float", "min": 1, "high": 2}}, "has min, but .* takes high, log, low"),
        ({"a": {"type": "float", "low": 2, "high": 1}}, "2 to 1"),
        ({"a": {"type": "float", "low": 1}}, "not a range"),
        ({"a": {"type": "int", "low": 1, "high": 2.5}}, "whole numbers"),
        (
            {
                "a": {"type": "int", "low": 1, "high": 2, "when": {"b": 1}},
                "b": {"type": "int", "low": 1, "high": 2},
            },
            "a depends on b, which must stand before it",
        ),
    ],
)
def test_a_bad_file_is_refused(tree: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        parse_space(tree, "space.toml")


def test_a_python_file_needs_a_function(tmp_path: Path) -> None:
    file = tmp_path / "space.py"
    file.write_text("def space(trial):\n    trial.suggest_int('task.train_shots', 1, 5)\n")
    assert callable(read_space(file))
    file.write_text("spice = 1\n")
    with pytest.raises(InputError, match="no function space"):
        read_space(file)
    file.write_text("1 / 0\n")
    with pytest.raises(InputError, match="ZeroDivisionError"):
        read_space(file)


@pytest.mark.parametrize(
    ("space", "complaint"),
    [
        ({"method.inner_rate": Float(0.1, 1.0)}, "did you mean method.inner_lr"),
        ({"method.inner_batch": Int(1, 5)}, "unknown setting method.inner_batch"),
        ({"train.meta_lr": Float(-1.0, 1.0)}, "takes train.meta_lr to -1.0"),
        ({"task.train_ways": Int(2, 20)}, "must equal task.ways"),
        ({"workers.count": Int(1, 2)}, "has no effect on training"),
        ({"train.lr_step_every": Int(1, 9, when={"train.schedule": "step"})}, "none could be"),
    ],
)
def test_a_space_that_the_config_does_not_take_is_refused(space: Space, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        check_space(space, plan_of())


def test_a_value_that_changes_on_its_way_is_refused() -> None:
    """A relative path becomes an absolute one."""
    with pytest.raises(InputError, match="did not reach the config of the trial, which has '/"):
        plan_of({"data": {"name": "folder"}}).config_of({"data.root": "photos"})


def test_sampled_values_win_and_the_recipe_follows_them() -> None:
    plan = plan_of({"data": {"name": "omniglot"}, "train": {"outer_steps": 10}})
    config = plan.config_of({"task.shots": 5, "method.inner_lr": 0.3})
    assert (config.task.shots, config.task.train_shots, config.method.inner_lr) == (5, 5, 0.3)  # type: ignore[union-attr]
    assert config.task.train_queries == 5  # Finn et al.: as many queries as shots
    assert config.train.outer_steps == 10


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"metrics": ("accuracy",)}, "is not one of val_accuracy"),
        ({"metrics": ("adapt_s", "val_loss")}, "starts with a validation metric"),
        ({"metrics": ("val_loss", "val_loss")}, "twice"),
        ({"metrics": ("val_loss", "adapt_s"), "scheduler": "asha"}, "use --scheduler none"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        plan_of(**options)


def test_defaults_follow_the_data_and_the_number_of_metrics() -> None:
    assert plan_of().metrics == ("val_accuracy",)
    assert plan_of({"data": {"name": "sinusoid"}}).metrics == ("val_mse",)
    assert plan_of(metrics=("val_accuracy", "adapt_s")).scheduler == "none"
    assert plan_of({"train": {"validate_every": 7}}).grace == 7


@pytest.mark.parametrize(
    ("train", "complaint"),
    [
        ({"validate_every": 0}, "validate_every above 0"),
        ({"time_budget_s": 9.0}, "--time-budget"),
    ],
)
def test_trials_that_cannot_be_compared_are_refused(train: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        check(plan_of({"train": train}))


def test_trials_without_training_search_what_has_an_effect_on_them() -> None:
    settings = {"method": {"name": "logistic"}, "train": {"outer_steps": 0}}
    plan = plan_of(settings)
    assert plan.scheduler == "none"  # which would look at trials while they train
    space = plan.experiment.space(plan.base)
    assert set(space) == {"method.penalty", "method.normalise"}
    check_space(space, plan)
    with pytest.raises(InputError, match=r"--scheduler asha looks at trials while they train"):
        plan_of(settings, scheduler="asha")
    with pytest.raises(InputError, match=r"train.meta_lr has no effect with train.outer_steps = 0"):
        check_space({"train.meta_lr": Float(1e-4, 1e-2)}, plan)


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    plan = plan_of({"train": {"outer_steps": 7}}, num_trials=3)
    plan.write(tmp_path / "sweep.json")
    assert SweepPlan.read(tmp_path / "sweep.json") == plan


def test_the_own_values_of_the_config_are_known_if_the_space_holds_them() -> None:
    space: Space = {
        "method.inner_lr": Float(0.1, 5.0),
        "train.lr_step_every": Int(1, 9, when={"train.schedule": "step"}),
    }
    held, other = (plan_of({"method": {"inner_lr": lr}}).base for lr in (0.5, 9.0))
    assert own_values(space, held) == {"method.inner_lr": 0.5}
    assert own_values(space, other) is None


def test_resume_takes_nothing_that_was_planned(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--resume continues a sweep as it began: leave out --set"):
        sweep(SweepRequest(resume=tmp_path, overrides=["seed=1"]))
    with pytest.raises(InputError, match="is not a sweep directory .it has no sweep.json"):
        sweep(SweepRequest(resume=tmp_path))


def test_an_option_that_is_not_known_is_refused_by_its_name() -> None:
    with pytest.raises(InputError, match="sampler = 'tpa' is not one of .*did you mean tpe"):
        sweep(SweepRequest(sampler="tpa"))
    with pytest.raises(InputError, match="--storage takes a URL"):
        sweep(SweepRequest(storage="somewhere"))
