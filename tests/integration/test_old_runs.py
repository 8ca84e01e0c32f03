"""Run directories that earlier code wrote are tested and continued by today's.

``old_runs/`` holds them without what resuming does not need (pages, plots, TensorBoard's files):
a meta-training and a fine-tuning that ended, the same two killed in the middle (their logs are
ahead of their checkpoints), and a comparison and a sweep that were stopped in their second run.
A killed run that is resumed must end with the bits of the one that was not; as in
``test_golden.py``, that is to 1e-4 on machines that sum in another order.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import Command, arguments, summary_of  # type: ignore[attr-defined]
from golden_values import WARNING, check, facts
from runs import rows_of

OLD = Path(__file__).parent / "old_runs"

pytestmark = pytest.mark.filterwarnings(WARNING)


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the run that the test's parameter names, with the empty folders it was left with.

    Git keeps no empty folder.
    """
    copy = tmp_path / str(request.param)
    shutil.copytree(OLD / str(request.param), copy)
    for config in [*copy.rglob("config.json")]:
        if config.parent.parent.name != "evaluations":
            for name in ("evaluations", "plots"):
                (config.parent / name).mkdir(exist_ok=True)
    return copy


@pytest.mark.parametrize("folder", ["meta"], indirect=True)
def test_a_meta_training_is_tested_again(here: Command, folder: Path) -> None:
    before = summary_of(folder)
    done = here("evaluate", folder)
    assert done.returncode == 0, done.stderr
    after = summary_of(folder)
    assert after["params_sha256"] == before["params_sha256"]
    assert after["loss"] == pytest.approx(before["loss"], rel=1e-4)
    assert len(list((folder / "evaluations").iterdir())) == 2
    more = here("evaluate", folder, *arguments(["evaluate.num_episodes=8", "task.shots=2"]))
    assert more.returncode == 0, more.stderr
    assert summary_of(folder)["num_episodes"] == 8


@pytest.mark.parametrize("folder", ["meta", "meta_interrupted"], indirect=True)
def test_a_meta_training_goes_on(here: Command, folder: Path) -> None:
    done = here("train", "--resume", folder)
    assert done.returncode == 0, done.stderr
    check("old_runs, meta", facts(folder))


@pytest.mark.parametrize("folder", ["finetune", "finetune_interrupted"], indirect=True)
def test_a_transfer_job_goes_on(here: Command, folder: Path) -> None:
    done = here("transfer", "finetune", "--resume", folder)
    assert done.returncode == 0, done.stderr
    check("old_runs, finetune", facts(folder))


@pytest.mark.parametrize("folder", ["finetune"], indirect=True)
def test_a_meta_training_starts_from_the_encoder_of_an_old_job(
    here: Command, cache: Path, folder: Path, tmp_path: Path
) -> None:
    sets = [
        f"init.checkpoint={folder}", f"data.cache={cache}", "data.num_classes=60",
        "data.image_size=16", "model.width=2", "task.queries=2", "method.name=protonet",
        "train.outer_steps=0", "evaluate.num_episodes=4", "workers.count=0",
    ]  # fmt: skip
    done = here("train", "--out", tmp_path / "run", *arguments(sets))
    assert done.returncode == 0, done.stderr
    assert summary_of(tmp_path / "run")["init"]["trained_by"] == "finetune"


@pytest.mark.ray
@pytest.mark.parametrize("folder", ["compare"], indirect=True)
def test_a_comparison_goes_on(here: Command, folder: Path) -> None:
    """The run that had ended is kept as it is."""
    protonet, maml = (folder / "runs" / name / "seed0" for name in ("protonet", "maml"))
    kept = (protonet / "metrics.jsonl").read_bytes()
    done = here("compare", "--resume", folder)
    assert done.returncode == 0, done.stderr
    assert {entry["entry"] for entry in summary_of(folder)["entries"]} == {"protonet", "maml"}
    assert (protonet / "metrics.jsonl").read_bytes() == kept
    assert [row["step"] for row in rows_of(maml)] == list(range(1, 21))
    check("old_runs, compare, maml", facts(maml))


@pytest.mark.ray
@pytest.mark.parametrize("folder", ["sweep"], indirect=True)
def test_a_sweep_goes_on(here: Command, folder: Path) -> None:
    """The trial that had ended is kept as it is."""
    ended, stopped = (folder / "trials" / name for name in ("0000", "0001"))
    kept = (ended / "metrics.jsonl").read_bytes()
    done = here("sweep", "--resume", folder)
    assert done.returncode == 0, done.stderr
    assert (ended / "metrics.jsonl").read_bytes() == kept
    assert [row["step"] for row in rows_of(stopped)] == list(range(1, 21))
    best = summary_of(folder)["best_trial"]
    for trial in (ended, stopped):
        found = facts(trial)
        assert bool(found["summary"]) == (int(trial.name) == best)
        check(f"old_runs, sweep, trial {int(trial.name)}", found)
