"""Jobs on Ray Train that compare images of all workers, or carry more than weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Command, arguments, summary_of  # type: ignore[attr-defined]
from image_files import write_images
from runs import rows_of, running, wait_for_step
from transfers import WAIT_S, assert_same_state, train_workers

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

OF_JOB = {
    "simclr": ["train.lr=0.3"],
    "moco": ["job.queue_size=60"],
    "distill": ["job.attention_weight=10", "job.hint_weight=1", "job.augment=true"],
}


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Coloured noise in float64, so that only the order of sums is left to differ."""
    folder: Path = tmp_path_factory.mktemp("colours")
    return [
        *write_images(folder, colour=True),
        "train.batch_size=24",
        "train.shard_size=7",
        "train.validate_every=0",
        "train.checkpoint_every=5",
        "workers.cpus=0.5",
        "workers.precision=float64",
    ]


@pytest.fixture(scope="module")
def teacher(
    metaray: Command, colours: list[str], tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    folder: Path = tmp_path_factory.mktemp("teacher") / "run"
    sets = [*colours, "model.name=conv4_map", "model.width=6", "train.steps=5", "workers.count=0"]
    done = metaray("transfer", "finetune", "--out", folder, *arguments(sets))
    assert done.returncode == 0, done.stderr
    return [f"job.teacher={folder}", "model.name=conv4_map"]


@pytest.mark.parametrize("job", list(OF_JOB))
def test_one_and_two_workers_give_the_result_of_one_process(
    metaray: Command, colours: list[str], teacher: list[str], tmp_path: Path, job: str
) -> None:
    sets = [*colours, *OF_JOB[job], *(teacher if job == "distill" else ())]
    for count in (0, 1, 2):
        own = [*sets, "model.width=4", "train.steps=12", f"workers.count={count}"]
        done = metaray("transfer", job, "--out", tmp_path / str(count), *arguments(own))
        assert done.returncode == 0, done.stderr
    for count in (1, 2):
        assert_same_state(tmp_path / str(count), tmp_path / "0")
        mine, alone = summary_of(tmp_path / str(count)), summary_of(tmp_path / "0")
        assert mine["accuracy"] == alone["accuracy"]


def test_moco_goes_on_with_its_queue_after_a_worker_was_killed(
    metaray: Command, environment: dict[str, str], colours: list[str], tmp_path: Path
) -> None:
    sets = [*colours, *OF_JOB["moco"], "model.width=4", "train.steps=300"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = metaray("transfer", "moco", "--out", whole, *arguments([*sets, "workers.count=0"]))
    assert done.returncode == 0, done.stderr
    with running(environment, "transfer moco", killed, [*sets, "workers.count=2"]) as driver:
        wait_for_step(killed, 30, WAIT_S)
        workers = train_workers(driver.pid)
        assert len(workers) == 2
        workers[0].kill()
        assert driver.wait(timeout=400) == 0
    assert_same_state(killed, whole)
    assert [row["step"] for row in rows_of(killed)] == list(range(1, 301))
