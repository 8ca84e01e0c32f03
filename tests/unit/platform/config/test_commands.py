"""The command that a report prints does the run again, with any setting changed or set to null."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import typer.main
from pydantic import BaseModel

from metaray.algorithms.errors import InputError
from metaray.algorithms.registry import METHODS
from metaray.algorithms.transfer.registry import JOBS
from metaray.platform.cli.main import app
from metaray.platform.config.commands import evaluate_command, train_command
from metaray.platform.config.loading import override, with_overrides
from metaray.platform.config.request import Request
from metaray.platform.config.tree import flat, with_values
from metaray.platform.config.values import parse_toml, parse_value, set_value, toml_value
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.request import EvaluateRequest, RunRequest
from metaray.platform.experiment.transfer import TRANSFER
from metaray.platform.jobs.command import parse_command

CHANGED = ["seed=7", "train.checkpoint_every=3", "monitoring.trackers=['mlflow']"]


def parsed(command: Sequence[str]) -> Request:
    """The printed command as the command line understands it."""
    program, *words = shlex.split(" ".join(command))
    assert program == "metaray"
    return parse_command(words, typer.main.get_command(app))


def trained_again(command: Sequence[str]) -> BaseModel:
    """The config of the run that the printed command trains."""
    found = parsed(command)
    assert isinstance(found, RunRequest)
    return found.settings()


def nulled(config: BaseModel, base: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each setting of ``config`` that may be null and is not, and the settings that null it."""
    for key, value in flat(config.model_dump()):
        if value is not None:
            settings = with_values(base, {key: None})
            try:
                (TRANSFER if "job" in base else META).resolve(settings)
            except InputError:
                continue
            yield key, settings


@pytest.mark.parametrize("data", ["glyphs", "miniimagenet"])
@pytest.mark.parametrize("method", METHODS)
def test_of_meta_training(method: str, data: str) -> None:
    base = with_overrides({}, [f"method.name={method}", f"data.name={data}", *CHANGED])
    for key, settings in [("", base), *nulled(META.resolve(base), base)]:
        config = META.resolve(settings)
        assert trained_again(train_command(config)) == config, key


@pytest.mark.parametrize("labels", ["null", "5"])
@pytest.mark.parametrize("job", JOBS)
def test_of_a_transfer_job(job: str, labels: str) -> None:
    settings = [f"job.name={job}", f"data.labels_per_class={labels}", "data.name=glyphs", *CHANGED]
    if JOBS[job].needs_target:
        settings += ["target.name=omniglot"]
    base = with_overrides({}, settings)
    try:
        config = TRANSFER.resolve(base)
    except InputError:
        pytest.skip("this job takes no labels")
    for key, nulls in [("", base), *nulled(config, base)]:
        config = TRANSFER.resolve(nulls)
        command = train_command(config)
        assert trained_again(command) == config, key


@pytest.mark.parametrize(
    "settings",
    [
        ["job.name=finetune", "data.labels_per_class=5", "train.steps=null", "train.epochs=20"],
        ["job.name=simclr", "train.steps=70"],
        ["job.name=finetune", "data.labels_per_class=5", "train.epochs=3"],
    ],
)
def test_where_one_setting_changes_the_default_of_another(settings: list[str]) -> None:
    config = TRANSFER.load(None, settings)
    assert trained_again(train_command(config)) == config


def test_of_a_test_with_changed_and_nulled_settings() -> None:
    trained = META.resolve({"method": {"name": "maml"}, "data": {"root": "here"}})
    for overrides in (
        ["task.shots=5", "evaluate.batch_norm=inductive", "method.eval_inner_steps=7"],
        ["data.root=null", "evaluate.num_episodes=20"],
    ):
        tested = override(trained, overrides)
        found = parsed(evaluate_command("my run", trained, tested))
        assert isinstance(found, EvaluateRequest)
        assert found.run_dir == "my run"
        assert override(trained, found.overrides or []) == tested


@pytest.mark.parametrize(
    "value",
    [None, True, 3, 1e-05, 1e22, float("inf"), "anil", "1", "true", "", "a 'b' \"c\"", "näh",
     "\N{GRINNING FACE}", "tab\t\x7f", [1, "a", None], ["none"], "none"],
)  # fmt: skip
def test_a_value_is_read_as_it_was_written(value: object) -> None:
    assert parse_value(set_value(value)) == value
    assert parse_toml(f"key = {toml_value(value)}") == {"key": value}


@pytest.mark.parametrize(
    "user",
    [
        {},
        {"method": {"name": "reptile", "inner_lr": 1e-05}, "seed": 3},
        {"data": {"name": "omniglot", "root": "/data/my images", "download": True}},
        {"data": {"root": "2021"}, "train": {"clip_norm": 10.0, "clip_value": None}},
        {"method": {"name": "protonet"}, "task": {"ways": 20, "train_ways": 30}},
        {"data": {"name": "sinusoid"}, "workers": {"device": "cuda:0"}},
    ],
)
def test_the_command_trains_the_same_config(user: dict[str, Any]) -> None:
    config = META.resolve(user)
    words = shlex.split(" ".join(train_command(config)))
    assert words[:2] == ["metaray", "train"]
    assert words[2::2] == ["--set"] * len(words[3::2])
    assert META.load(None, words[3::2]) == config


def test_the_command_tests_as_the_last_test_did() -> None:
    config = META.resolve({"task": {"shots": 1}})
    tested = override(config, ["task.shots=5", "evaluate.batch_norm=inductive"])
    assert evaluate_command("my run", config, tested) == [
        "metaray evaluate 'my run'",
        "--set evaluate.batch_norm=inductive",
        "--set task.shots=5",
    ]
