"""What people type who come from other tools gets the word that is used here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from metaray.algorithms.errors import InputError
from metaray.platform.cli.main import app
from metaray.platform.config.complaints import known_keys
from metaray.platform.config.meta import RunConfig
from metaray.platform.config.other_words import OURS, option_hint
from metaray.platform.config.transfer import TransferConfig
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.transfer import TRANSFER

LOADERS: dict[str, Callable[[list[str]], object]] = {
    "train": lambda sets: META.load(None, sets),
    "transfer": lambda sets: TRANSFER.load(None, ["job.name=finetune", *sets]),
}


@pytest.mark.parametrize(
    ("kind", "typed", "said"),
    [
        ("train", "train.epochs=5", "here it is train.outer_steps, for example"),
        ("train", "train.batch_size=8", "here it is train.meta_batch_size"),
        ("train", "train.lr=0.1", "here it is train.meta_lr"),
        ("train", "learning_rate=0.1", "here it is train.meta_lr"),
        ("train", "task.n_way=5", "here it is task.ways"),
        ("train", "model.backbone=resnet12", "here it is model.name"),
        ("train", "workers.num_workers=4", "here it is workers.count"),
        ("transfer", "train.max_steps=5", "here it is train.steps"),
        ("transfer", "train.learning_rate=5", "here it is train.lr"),
        ("train", "model.name=resnet18", "set model.name=torchvision and model.arch=resnet18"),
        ("train", "method.name=MAML", "did you mean maml?"),
        ("train", "method=maml", "write method.name = 'maml'"),
        ("train", "data.split_ratio=0.5,0.25,0.25", "--set 'data.split_ratio=[0.5, 0.25, 0.25]'"),
        ("train", "train.outer_steps=many", "write a number"),
        ("train", "train.meta_lr=high", "write a number"),
    ],
)
def test_a_setting_gets_its_word(kind: str, typed: str, said: str) -> None:
    with pytest.raises(InputError) as raised:
        LOADERS[kind]([typed])
    assert said in str(raised.value)
    assert "pydantic" not in str(raised.value)


def test_every_word_is_a_setting() -> None:
    known = {*known_keys(RunConfig), *known_keys(TransferConfig)}
    assert {ours.key for choices in OURS.values() for ours in choices} <= known


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "--method", "maml"], "--set method.name=protonet"),
        (["train", "--config", "a.toml"], "metaray train settings.toml"),
        (["train", "--epochs", "5"], "--set train.outer_steps=600"),
        (["evaluate", "run", "--shots", "5"], "--set task.shots=1"),
        (["transfer", "finetune", "--lr", "1"], "--set train."),
    ],
)
def test_an_option_gets_its_word(words: list[str], said: str) -> None:
    done = CliRunner(env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).invoke(app, words)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert option_hint("--nothing-of-the-kind") == ""
    job = "metaray transfer finetune"
    assert option_hint("--steps", job).endswith("--set train.steps=1000")
    assert option_hint("--lr", job).endswith("--set train.lr=0.01")
    assert option_hint("--config", job).endswith("metaray transfer finetune settings.toml")
    assert option_hint("--shots", job) == ""


def test_the_usual_ways_to_ask(capsys: pytest.CaptureFixture[str]) -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["--version"]).output == runner.invoke(app, ["version"]).output
    assert "train" in runner.invoke(app, ["help"]).output


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("name = maml", 'text needs quotes: name = "maml"'),
        ("root = ~/photos", 'text needs quotes: root = "~/photos"'),
        ("name = [", "is not valid TOML"),
    ],
)
def test_a_file_without_quotes(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f"[method]\n{line}\n")
    with pytest.raises(InputError) as raised:
        META.load(file)
    assert said in str(raised.value)
