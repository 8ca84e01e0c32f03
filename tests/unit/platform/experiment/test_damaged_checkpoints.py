"""What is damaged or changed in a run directory: never silent, and what is advised works."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.base import Callback
from metaray.platform.callbacks.events import Event
from metaray.platform.experiment import runner
from metaray.platform.experiment.meta import META
from metaray.platform.run.checkpoint import read_checkpoint
from metaray.platform.run.directory import RunDirectory, checkpoint_file, saved_steps
from metaray.platform.run.summary import read_summary


class Notes(Callback):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def on_event(self, event: Event) -> None:
        self.texts.append(event.text)


@pytest.fixture(scope="module")
def trained(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    runner.new(META.load(None, [*tiny, "train.keep_checkpoints=9"]), folder, "local")
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> RunDirectory:
    return RunDirectory(Path(shutil.copytree(trained, tmp_path / "run")))


def damage(run: RunDirectory, step: int) -> Path:
    path = checkpoint_file(run.checkpoints, step)
    path.write_bytes(path.read_bytes()[:-3])
    return path


@pytest.mark.parametrize("damaged", ["newest", "best"])
def test_resuming_ends_with_the_same_bits(damaged: str, run: RunDirectory) -> None:
    before, notes = read_summary(run), Notes()
    assert before is not None
    newest = read_checkpoint(checkpoint_file(run.checkpoints, max(saved_steps(run.checkpoints))))
    step = newest.step if damaged == "newest" else newest.best_step
    assert step is not None
    damage(run, step)
    after = runner.resume(run.path, [], "local", [notes])
    assert [text for text in notes.texts if ".safetensors.damaged" in text]
    for key in ("params_sha256", "tested_step", "accuracy"):
        assert after[key] == before[key]


def test_a_test_of_a_damaged_best_says_what_works(run: RunDirectory) -> None:
    newest = read_checkpoint(checkpoint_file(run.checkpoints, max(saved_steps(run.checkpoints))))
    if newest.best_step in (None, newest.step):
        pytest.skip("the last step is the best one")
    assert newest.best_step is not None
    damage(run, newest.best_step)
    with pytest.raises(InputError, match=r"--resume.*--set evaluate\.checkpoint=last") as caught:
        runner.evaluate(run.path, [], "local")
    assert "delete" not in str(caught.value)
    summary = runner.evaluate(run.path, ["evaluate.checkpoint=last"], "local")
    assert summary["tested_step"] == newest.step


def test_a_start_from_a_damaged_run_names_another_checkpoint(
    run: RunDirectory, tiny: list[str], tmp_path: Path
) -> None:
    damage(run, max(saved_steps(run.checkpoints)))
    with pytest.raises(InputError, match=r"continue that run with --resume") as caught:
        META.load(None, [*tiny, f"init.checkpoint={run.path}"])
    named = re.search(r"such as (\S+)$", str(caught.value))
    assert named is not None
    config = META.load(None, [*tiny, f"init.checkpoint={named[1]}"])
    assert runner.fit(config, tmp_path / "other", "local").last.step == 6


def test_other_versions_are_said_on_resume(run: RunDirectory) -> None:
    config = json.loads(run.config.read_text())
    config["versions"] |= {"torch": "1.0", "metaray": "0.0.1", "ray": "1.0"}
    run.config.write_text(json.dumps(config))
    notes = Notes()
    damage(run, 6)
    runner.resume(run.path, [], "local", [notes])
    found = [text for text in notes.texts if "trained with torch 1.0 and metaray 0.0.1" in text]
    assert len(found) == 1
    assert "differ in its last bits" in found[0]


def test_a_gap_in_the_log_is_said_on_resume(run: RunDirectory) -> None:
    lines = run.metrics.read_text().splitlines(keepends=True)
    run.metrics.write_text("".join(lines[:1] + lines[3:]))
    notes = Notes()
    damage(run, 6)
    runner.resume(run.path, [], "local", [notes])
    assert [text for text in notes.texts if "no row for 2 of the steps" in text]
    assert not [text for text in notes.texts if "differ in its last bits" in text]
