"""Callbacks of the user's own file, named in the settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.callbacks.monitored import monitored
from metaray.platform.cli.main import app
from metaray.platform.config.loading import read_toml
from metaray.platform.experiment.meta import META
from metaray.platform.run.status import Status

SOURCE = """
from metaray.platform.callbacks.base import Callback


class Counter(Callback):
    def on_start(self, info):
        self.info, self.steps, self.events = info, 0, []

    def on_step(self, row):
        self.steps += 1

    def on_event(self, event):
        self.events.append(type(event).__name__)

    def on_end(self, state, error):
        found = [self.info.identity.kind, self.info.identity.trial, self.steps, state]
        (self.info.folder / "counted.txt").write_text(" ".join(map(str, found)))
        (self.info.folder / "events.txt").write_text(" ".join(self.events))


class Failing(Callback):
    def on_step(self, row):
        raise ValueError("no connection")


class Stopping(Callback):
    def on_start(self, info):
        self.stop = info.stop

    def on_validation(self, row):
        self.stop.request("good enough")


class NeedsMore(Callback):
    def __init__(self, more):
        pass


number = 3
"""


@pytest.fixture(name="here")
def fixture_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a file of callbacks."""
    (tmp_path / "my_callbacks.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(tiny: list[str], callbacks: str) -> object:
    settings = [*tiny, f"monitoring.callbacks={callbacks}"]
    given = [part for setting in settings for part in ("--set", setting)]
    return CliRunner().invoke(app, ["train", "--out", "run", *given])


def test_a_callback_from_the_command_line(tiny: list[str], here: Path) -> None:
    result = train(tiny, '["my_callbacks:Counter", "my_callbacks.py:Failing"]')
    assert getattr(result, "exit_code", None) == 0, result
    assert (here / "run" / "counted.txt").read_text() == "train  6 done"
    status = Status.read(here / "run")
    assert status is not None
    reports = [event.text for event in status.events if "without Failing" in event.text]
    assert len(reports) == 1
    assert "ValueError: no connection (my_callbacks.py, line" in reports[0]
    assert status.state == "done"


def test_a_callback_can_stop_a_run(tiny: list[str], here: Path) -> None:
    result = train(tiny, '["my_callbacks:Stopping"]')
    assert "stopped after outer step 3 of 6" in str(getattr(result, "exception", None))
    status = Status.read(here / "run")
    assert status is not None
    assert status.state == "stopped"
    assert "a stop was requested: good enough" in [event.text for event in status.events]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Counter", 'is not one of "my_callbacks.py:MyCallback"'),
        ("no_such_file.py:Counter", "no_such_file"),
        ("my_callbacks:Conter", "did you mean Counter"),
        ("my_callbacks:number", "not a subclass of metaray's Callback"),
        ("my_callbacks:NeedsMore", r"NeedsMore\(\) failed"),
    ],
)
def test_a_wrong_name_is_one_sentence(
    name: str, sentence: str, tiny: list[str], here: Path
) -> None:
    config = META.load(None, [*tiny, f"monitoring.callbacks={json.dumps([name])}"])
    with (
        pytest.raises(InputError, match=sentence),
        monitored(here, config, CallbackList(), total_steps=6),
    ):
        raise AssertionError("began")


def test_nothing_is_written_before_a_wrong_name_is_known(tiny: list[str], here: Path) -> None:
    result = train(tiny, '["my_callbacks:Conter"]')
    assert isinstance(getattr(result, "exception", None), InputError)
    assert not (here / "run").exists()


def test_a_file_beside_the_settings_is_found_from_anywhere(
    here: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "run.toml").write_text('[monitoring]\ncallbacks = ["my_callbacks.py:Counter"]\n')
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    named = read_toml(here / "run.toml")["monitoring"]["callbacks"]
    assert named == [f"{here / 'my_callbacks.py'}:Counter"]
