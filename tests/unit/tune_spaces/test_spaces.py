from __future__ import annotations

from functools import reduce
from typing import Any

import pytest

from metaray.algorithms.registry import METHODS
from metaray.algorithms.transfer.registry import JOBS
from metaray.platform.config.meta import RunConfig
from metaray.tune_spaces.registry import JOB_SPACES, SPACES
from metaray.tune_spaces.space import Choice, Float, Int, check_conditions

PAPER: dict[str, dict[str, float]] = {
    "maml": {"method.inner_lr": 2.0, "method.inner_steps": 1, "train.meta_batch_size": 32},
    "fomaml": {"method.inner_lr": 2.0, "method.inner_steps": 1, "train.meta_batch_size": 32},
    "anil": {"method.inner_lr": 0.1, "method.inner_steps": 5, "train.meta_lr": 1e-3},
    "reptile": {"method.inner_lr": 1e-3, "method.inner_batch": 10, "task.train_shots": 10},
    "mamlpp": {"method.inner_lr": 0.1, "method.inner_steps": 5, "train.meta_batch_size": 8},
    "metasgd": {"method.inner_lr_high": 0.1, "method.inner_steps": 1, "train.meta_lr": 1e-3},
    "protomaml": {"method.inner_lr": 0.31, "method.inner_steps": 6, "method.eval_inner_steps": 11},
    "baseline": {"method.batch_size": 16, "method.eval_inner_lr": 0.01, "train.meta_lr": 1e-3},
    "baselinepp": {"method.scale": 2.0, "method.eval_scale": 2.0, "method.eval_inner_steps": 100},
    "protonet": {"task.train_ways": 60, "task.train_queries": 5, "train.meta_lr": 1e-3},
    "matching": {"method.temperature": 1.0, "task.train_ways": 5},
    "relation": {"task.train_queries": 19, "train.meta_lr": 1e-3, "train.clip_norm": 0.5},
    "siamese": {"method.margin": 1.0},
    "mann": {"method.controller_width": 200, "method.memory_slots": 128, "train.meta_lr": 1e-4},
    "logistic": {"method.penalty": 1.0},
    "snail": {"method.width": 128, "train.meta_lr": 1e-4, "train.meta_batch_size": 32},
}
ENDS = [
    pytest.param(method, path, value, id=f"{method}-{path}-{value}")
    for method, space in SPACES.items()
    for path, dimension in space.items()
    for value in dimension.ends
]


def configured(method: str, path: str, value: Any) -> RunConfig:
    section, field = path.split(".")
    settings: dict[str, dict[str, Any]] = {"method": {"name": method}}
    settings.setdefault(section, {})[field] = value
    return RunConfig.model_validate(settings)


def test_every_method_has_a_space() -> None:
    assert set(SPACES) == set(METHODS)


def test_every_job_has_a_space() -> None:
    assert set(JOB_SPACES) == set(JOBS)


@pytest.mark.parametrize(("method", "path", "value"), ENDS)
def test_a_run_accepts_the_ends_of_each_range(method: str, path: str, value: Any) -> None:
    config = configured(method, path, value)
    assert reduce(getattr, path.split("."), config) == value


def test_a_path_that_no_run_has_is_caught() -> None:
    with pytest.raises(ValueError, match="inner_rate"):
        configured("maml", "method.inner_rate", 0.1)


@pytest.mark.parametrize(
    ("method", "path", "value"),
    [(method, path, value) for method, paper in PAPER.items() for path, value in paper.items()],
)
def test_the_value_of_the_paper_is_within_reach(method: str, path: str, value: float) -> None:
    dimension = SPACES[method][path]
    if isinstance(dimension, Choice):
        assert value in dimension.options
    else:
        assert dimension.low <= value <= dimension.high


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Float(1.0, 0.1), "1.0 to 0.1"),
        (lambda: Int(3, 3), "3 to 3"),
        (lambda: Float(0.0, 1.0, log=True), "above zero, got 0.0"),
        (lambda: Int(0, 9, log=True), "above zero, got 0"),
        (lambda: Choice((5,)), "two or more"),
        (lambda: Choice((5, 5)), "different"),
    ],
)
def test_a_range_that_cannot_be_searched_is_refused(make: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        make()


def test_a_condition_holds_where_all_of_its_settings_have_their_values() -> None:
    when = {"train.schedule": "step", "task.ways": 5}
    dimension = Int(1, 9, when=when)
    assert dimension.is_active({**when, "seed": 1})
    assert not dimension.is_active({"train.schedule": "step", "task.ways": 7})
    assert not dimension.is_active({"train.schedule": "step"})
    assert Int(1, 9).is_active({})


def test_conditions_look_back() -> None:
    schedule, every = Choice(("step", "cosine")), Int(1, 9, when={"train.schedule": "step"})
    check_conditions({"train.schedule": schedule, "train.lr_step_every": every})
    with pytest.raises(ValueError, match="must stand before"):
        check_conditions({"train.lr_step_every": every, "train.schedule": schedule})


@pytest.mark.parametrize(
    ("dimension", "inside", "outside"),
    [
        (Float(0.1, 1.0), (0.1, 1, 1.0), (0.05, True, "0.5", None)),
        (Int(1, 5), (1, 5), (0, 6, None)),
        (Choice(("a", None)), ("a", None), ("b", 1)),
    ],
)
def test_a_range_knows_what_it_holds(
    dimension: Any, inside: tuple[Any, ...], outside: tuple[Any, ...]
) -> None:
    assert all(dimension.holds(value) for value in inside)
    assert not any(dimension.holds(value) for value in outside)


ALL_SPACES = SPACES | JOB_SPACES


@pytest.mark.parametrize("space", ALL_SPACES.values(), ids=ALL_SPACES)
def test_the_conditions_of_a_space_can_be_decided(space: Any) -> None:
    check_conditions(space)
