"""A run takes more outer steps, where none of its steps depends on how many there will be."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.experiment import runner
from metaray.platform.experiment.meta import META

QUIET = [Terminal(Console(quiet=True))]
CONSTANT = "train.schedule=constant"
MAMLPP = ["method.name=mamlpp", "method.inner_steps=2", CONSTANT]


def trained(folder: Path, sets: list[str]) -> dict[str, Any]:
    return runner.new(META.load(None, sets), folder, "local", QUIET)


def resumed(folder: Path, steps: int) -> dict[str, Any]:
    return runner.resume(folder, [f"train.outer_steps={steps}"], "local", QUIET)


@pytest.mark.parametrize(
    "more",
    [
        [CONSTANT],
        ["train.schedule=step", "train.lr_step_every=4"],
        [*MAMLPP, "method.multi_step_share=0", "method.first_order_share=0"],
    ],
)
def test_it_ends_as_if_planned_so(tiny: list[str], tmp_path: Path, more: list[str]) -> None:
    trained(tmp_path / "run", [*tiny, *more])
    longer = resumed(tmp_path / "run", 9)
    planned = trained(tmp_path / "planned", [*tiny, *more, "train.outer_steps=9"])
    assert longer["outer_steps"] == planned["outer_steps"] == 9
    for key in ("params_sha256", "accuracy", "tested_step"):
        assert longer[key] == planned[key]


@pytest.mark.parametrize(
    "more", [["train.schedule=cosine"], ["train.schedule=linear"], MAMLPP], ids=lambda m: m[0]
)
def test_not_where_steps_follow_from_their_number(
    tiny: list[str], tmp_path: Path, more: list[str]
) -> None:
    trained(tmp_path / "run", [*tiny, *more])
    with pytest.raises(InputError, match="train.outer_steps cannot be changed"):
        resumed(tmp_path / "run", 9)


def test_never_to_fewer_steps_than_are_done(tiny: list[str], tmp_path: Path) -> None:
    trained(tmp_path / "run", [*tiny, CONSTANT])
    before = (tmp_path / "run" / "config.json").read_text()
    with pytest.raises(InputError, match="has made 6 already"):
        resumed(tmp_path / "run", 4)
    assert (tmp_path / "run" / "config.json").read_text() == before


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("more", [[], ["workers.count=1"], ["monitoring.export=false"]])
def test_a_run_that_is_done_stays_as_it_is(
    tiny: list[str], tmp_path: Path, more: list[str]
) -> None:
    summary = trained(tmp_path / "run", [*tiny, CONSTANT])
    runner.evaluate(tmp_path / "run", ["evaluate.num_episodes=4"], "local", QUIET)
    before = content(tmp_path / "run")
    shown = Console(record=True, width=300, file=io.StringIO())
    again = runner.resume(tmp_path / "run", more, "local", [Terminal(shown)])
    assert (again["num_episodes"], summary["num_episodes"]) == (4, 10)  # the newer test stays
    assert content(tmp_path / "run") == before
    told = shown.export_text()
    assert "is done, so nothing was changed: metaray evaluate tests it again" in told
    assert "--set train.outer_steps=... trains it further" in told


def test_a_run_that_was_killed_before_its_report_is_finished(
    tiny: list[str], tmp_path: Path
) -> None:
    trained(tmp_path / "run", [*tiny, CONSTANT])
    (tmp_path / "run" / "report.html").unlink()
    runner.resume(tmp_path / "run", [], "local", QUIET)
    assert (tmp_path / "run" / "report.html").is_file()
