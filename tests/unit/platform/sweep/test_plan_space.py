"""What is searched, where settings are set that the space has too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest

from metaray.algorithms.errors import InputError
from metaray.platform.config.tree import flat
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.platform.sweep.plan import SweepPlan, make_plan
from metaray.platform.sweep.plan_space import plan_space, stored_space
from metaray.platform.sweep.request import SweepRequest
from metaray.platform.sweep.sampling import draw
from metaray.tune_spaces.registry import SPACES
from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE: Space = {
    "method.inner_lr": Float(0.05, 2.0, log=True),
    "train.schedule": Choice(("constant", "step")),
    "train.lr_step_every": Int(1, 4, when={"train.schedule": "step"}),
}
PYTHON_SPACE = """
def space(trial):
    rate = trial.suggest_float("method.inner_lr", 0.05, 2.0, log=True)
    trial.suggest_float("train.meta_lr", 1e-4, 1e-2 if rate > 1 else 1e-3)
"""


def plan_of(settings: dict[str, Any], set_keys: tuple[str, ...] = (), **options: Any) -> SweepPlan:
    return make_plan(settings, set_keys=set_keys, study_name="sweep", **options)


def set_to(settings: dict[str, Any], **options: Any) -> SweepPlan:
    """With settings as of ``--set``."""
    return plan_of(settings, tuple(key for key, _ in flat(settings)), **options)


@pytest.mark.parametrize("plan_with", [plan_of, set_to], ids=["file", "--set"])
def test_what_is_set_leaves_the_built_in_space(plan_with: Any) -> None:
    space, sentences = plan_space(plan_with({"method": {"inner_lr": 0.1}}), None)
    assert isinstance(space, dict)
    assert set(SPACES["maml"]) - set(space) == {"method.inner_lr"}
    assert sentences == ["method.inner_lr is set to 0.1, so it is not searched"]


def test_set_wins_over_a_space_that_is_given() -> None:
    space, sentences = plan_space(set_to({"method": {"inner_lr": 0.1}}), SPACE)
    assert list(space) == ["train.schedule", "train.lr_step_every"]  # type: ignore[arg-type]
    assert sentences == ["method.inner_lr is set to 0.1, so it is not searched"]


def test_a_space_that_is_given_wins_over_a_file_of_settings() -> None:
    space, sentences = plan_space(plan_of({"method": {"inner_lr": 0.1}}), SPACE)
    assert space == SPACE
    assert sentences == [
        "method.inner_lr is searched in the given space, in place of 0.1 in the settings"
    ]


@pytest.mark.parametrize(("schedule", "is_left"), [("step", True), ("constant", False)])
def test_a_range_is_searched_only_if_what_is_set_meets_its_condition(
    schedule: str, is_left: bool
) -> None:
    space, _ = plan_space(set_to({"train": {"schedule": schedule}}), SPACE)
    assert ("train.lr_step_every" in space) == is_left  # type: ignore[operator]
    assert "train.schedule" not in space  # type: ignore[operator]


def test_no_value_is_a_value() -> None:
    space: Space = {"train.clip_norm": Float(0.1, 1.0), **SPACE}
    left, sentences = plan_space(set_to({"train": {"clip_norm": None}}), space)
    assert "train.clip_norm" not in left  # type: ignore[operator]
    assert sentences == ["train.clip_norm is set to null, so it is not searched"]


@pytest.mark.parametrize("sampler", ["tpe", "grid"])
def test_a_space_of_which_nothing_is_left_is_refused(sampler: str) -> None:
    space: Space = {"method.inner_lr": Float(0.05, 2.0)}
    plan = set_to({"method": {"inner_lr": 0.1}}, sampler=sampler)
    with pytest.raises(InputError, match="nothing is left to search.*method.inner_lr"):
        plan_space(plan, space)


def test_a_population_has_the_rates_that_are_left() -> None:
    options = {"scheduler": "pbt", "num_trials": 4, "grace": 2}
    train = {"outer_steps": 8, "validate_every": 2}
    space, _ = plan_space(set_to({"train": train, "method": {"inner_lr": 0.1}}, **options), None)
    assert list(space) == ["train.meta_lr"]  # type: ignore[arg-type]


def test_a_function_is_told_what_is_set_and_does_not_search_it(tmp_path: Path) -> None:
    file = tmp_path / "space.py"
    file.write_text(PYTHON_SPACE)
    plan = set_to({"method": {"inner_lr": 1.5}}, space_suffix=".py")
    space, sentences = plan_space(plan, file)
    assert sentences == ["method.inner_lr is set to 1.5, so it is not searched"]
    study = optuna.create_study()
    assert list(draw(space, study.ask(), {})) == ["train.meta_lr"]

    folder = SweepDirectory.create(tmp_path / "sweep")
    folder.space(".py").write_text(PYTHON_SPACE)
    plan.write(folder.plan)
    again = stored_space(SweepPlan.read(folder.plan), folder)  # of a sweep that is resumed
    (trial,) = [study.ask()]
    assert list(draw(again, trial, {})) == ["train.meta_lr"]
    assert trial.distributions["train.meta_lr"].high == 1e-2  # type: ignore[attr-defined]


def test_a_function_all_of_whose_settings_are_set_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "space.py"
    file.write_text(PYTHON_SPACE)
    plan = set_to({"method": {"inner_lr": 1.5}, "train": {"meta_lr": 0.001}}, space_suffix=".py")
    with pytest.raises(InputError, match="nothing is left .*method.inner_lr, train.meta_lr"):
        plan_space(plan, file)


def test_a_value_that_is_no_range_is_refused() -> None:
    with pytest.raises(InputError, match=r"method.inner_lr .* is no range: give mr.Float"):
        plan_space(plan_of({}), {"method.inner_lr": [0.1, 0.2]})


def test_the_command_tells_its_settings_from_those_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("[train]\nmeta_lr = 0.01\n")
    request = SweepRequest(config=tmp_path / "my.toml", overrides=["method.inner_lr=0.1"])
    plan, _ = request.planned()
    assert plan.set_keys == ("method.inner_lr",)
    assert plan.settings == {
        "train": {"meta_lr": 0.01},
        "method": {"inner_lr": 0.1},
        "workers": {"derivatives": "auto"},  # left out, it would mean what older versions did
    }
