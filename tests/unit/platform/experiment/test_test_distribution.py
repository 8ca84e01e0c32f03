"""What a test is drawn from: groups, quarter turns, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import run_archive  # type: ignore[import-not-found]
from rich.console import Console

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.config.loading import override
from metaray.platform.experiment import runner
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.meta_data import digests_of, open_data
from metaray.platform.report.record import RunRecord
from metaray.platform.report.words import measured, result_lines
from metaray.platform.run.directory import RunDirectory

QUIET = [Terminal(Console(quiet=True))]
PLUGIN = '''
import torch
from metaray.algorithms.episode import Episode

class Lines:
    """Straight lines."""

    kind, input_shape, content_sha256 = "regression", (1,), None

    def __init__(self, data):
        pass

    def check(self, split, shape):
        pass

    def sample(self, spec):
        return Episode(*(torch.zeros(2, 1) for _ in range(4)))

    def describe(self, spec):
        return ["a line"]
'''


def summary_of(run: RunDirectory) -> dict[str, object]:
    found: dict[str, object] = json.loads(run.summary.read_text())
    return found


def test_a_run_is_tested_upright_and_turned_and_says_so(tiny: list[str], tmp_path: Path) -> None:
    sets = [*tiny, "method.name=protonet", "task.train_ways=5", "data.rotations=all"]
    runner.new(META.load(None, sets), tmp_path / "run", "local", QUIET)
    run = RunDirectory(tmp_path / "run")
    turned = summary_of(run)
    assert (turned["test_rotations"], turned["within_group"]) == ("classes", False)
    assert "Quarter turns of a class count as classes" in " ".join(measured(RunRecord.read(run)))
    assert "10 test episodes with quarter turns as classes" in str(result_lines(turned)[0])

    runner.evaluate(run.path, ["evaluate.rotations=none"], "local", QUIET)
    upright = summary_of(run)
    assert upright["test_rotations"] == "none"
    assert upright["loss"] != turned["loss"]
    assert upright["params_sha256"] == turned["params_sha256"]

    runner.evaluate(run.path, ["evaluate.rotations=classes"], "local", QUIET)
    assert summary_of(run)["loss"] == turned["loss"]

    runner.evaluate(run.path, ["evaluate.rotations=none", "task.within_group=true"], "local", QUIET)
    assert summary_of(run)["within_group"] is True
    record = RunRecord.read(run)
    assert record.shape.within_group
    assert "5 new classes of one group" in " ".join(measured(record))
    assert "5-way 1-shot within a group" in str(result_lines(summary_of(run))[0])


def test_training_follows_the_group_of_the_test_unless_set(tiny: list[str]) -> None:
    both = META.load(None, [*tiny, "task.within_group=true"])
    assert both.train_shape.within_group
    assert both.test_shape.within_group
    test = META.load(None, [*tiny, "task.within_group=true", "task.train_within_group=false"])
    assert not test.train_shape.within_group
    assert not META.load(None, tiny).test_shape.within_group


def test_evaluation_may_change_the_test_and_not_the_training(
    tiny: list[str], tmp_path: Path
) -> None:
    sets = [*tiny, "method.name=protonet", "task.train_ways=5"]
    runner.new(META.load(None, sets), tmp_path / "run", "local", QUIET)
    run = RunDirectory(tmp_path / "run")
    for sets in (["data.rotations=none"], ["task.train_within_group=true"]):
        with pytest.raises(InputError, match="cannot be changed when a run is evaluated"):
            runner.evaluate(run.path, sets, "local", QUIET)
    with pytest.raises(InputError, match="no group of the test split of glyphs has more than 100"):
        runner.evaluate(run.path, ["task.within_group=true", "task.ways=101"], "local", QUIET)


def test_training_has_the_ways_of_the_test_within_a_group(tiny: list[str]) -> None:
    """60 ways, as the recipe of protonet has on Omniglot, would leave the largest group alone."""
    sets = [*tiny, "method.name=protonet", "task.ways=10", "task.within_group=true"]
    fitted, said = META.fitted(META.load(None, sets))
    assert fitted.task.train_ways == 10
    assert "task.train_ways = 10 (a group has few classes)" in said
    given, _ = META.fitted(META.load(None, [*sets, "task.train_ways=12"]))
    assert given.task.train_ways == 12
    upright = [*sets, "data.rotations=none"]
    fitted, said = META.fitted(META.load(None, [s for s in upright if s != "task.ways=10"]))
    assert (fitted.task.ways, fitted.task.train_ways) == (5, 5)
    with pytest.raises(InputError, match="no group of the train split"):
        open_data(override(fitted, ["task.train_ways=26"]))


def test_ways_that_no_group_has_are_said_for_a_fixed_head_too(tiny: list[str]) -> None:
    sets = [*tiny, "data.rotations=none", "task.within_group=true", "task.ways=30"]
    with pytest.raises(InputError, match="no group of the train split of glyphs has more than 25"):
        META.fitted(META.load(None, sets))


@pytest.mark.parametrize(
    "setting", ["evaluate.rotations=none", "task.within_group=true", "task.train_within_group=true"]
)
def test_tasks_without_classes_refuse_them(tmp_path: Path, setting: str) -> None:
    (tmp_path / "lines.py").write_text(PLUGIN)
    for name in ("sinusoid", f"{tmp_path / 'lines.py'}:Lines"):
        sets = [f"data.name={name}", "model.name=mlp", "task.ways=1", "task.train_ways=1", setting]
        with pytest.raises(InputError, match="has no effect on .* leave it out"):
            open_data(META.load(None, sets))


def test_the_official_runs_of_omniglot_score_a_trained_run(tiny: list[str], tmp_path: Path) -> None:
    archive = tmp_path / "all_runs.zip"
    archive.write_bytes(run_archive.zipped(run_archive.runs()))
    sets = [*tiny, "method.name=protonet", "task.train_ways=5", "task.train_within_group=true"]
    runner.new(META.load(None, sets), tmp_path / "run", "local", QUIET)
    run = RunDirectory(tmp_path / "run")
    official = ["data.name=omniglot_runs", f"data.root={archive}"]
    runner.evaluate(run.path, official, "local", QUIET)
    found = summary_of(run)
    assert (found["ways"], found["shots"], found["queries"], found["num_episodes"]) == (
        20,
        1,
        1,
        20,
    )
    assert found["split"] is None
    assert found["dataset"] == "omniglot_runs"
    assert 0.05 < float(str(found["accuracy"])) <= 1
    assert "omniglot_runs" in run.report.read_text()
    again = dict(found)
    runner.evaluate(run.path, [*official, "evaluate.shard_size=3"], "local", QUIET)
    assert summary_of(run)["accuracy"] == again["accuracy"]
    with pytest.raises(InputError, match=r"set evaluate\.num_episodes = 20"):
        runner.evaluate(run.path, [*official, "evaluate.num_episodes=10"], "local", QUIET)
    with pytest.raises(InputError, match="a run of omniglot_runs has 20 classes"):
        runner.evaluate(run.path, [*official, "task.ways=5"], "local", QUIET)


def test_drawings_of_the_runs_have_digests_as_images_have(tmp_path: Path) -> None:
    """Their digests are compared with those of the training, as for every other test."""
    files = run_archive.runs()
    archive = tmp_path / "all_runs.zip"
    archive.write_bytes(run_archive.zipped(files))
    source = open_data(
        META.load(
            None,
            [
                "data.name=omniglot_runs", f"data.root={archive}", "method.name=protonet",
                "task.ways=20", "task.queries=1", "evaluate.num_episodes=20",
                "train.outer_steps=0",
            ],
        )
    )  # fmt: skip
    found = digests_of(source, "test")
    assert found is not None
    assert 400 < len(found) <= 800
    assert digests_of(source, "train") is None
