"""Jobs on Ray Train that compare pictures of all workers, or carry more than weights."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import COMMAND, Command, arguments, summary_of  # type: ignore[attr-defined]
from test_transfer import rows_of, wait_for_step

from metaray.platform.checkpoint import read_checkpoint

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
    rng = np.random.default_rng(0)
    for part, count in (("train", 60), ("test", 30)):
        labels = np.arange(count) % 3
        images = rng.integers(0, 150, (count, 16, 16, 3), dtype=np.uint8)
        images[np.arange(count), :, :, labels] += 80
        np.savez(folder / f"{part}.npz", images=images, labels=labels)
    return [
        "data.name=arrays",
        f"data.root={folder}",
        f"data.cache={folder / 'cache'}",
        "data.image_size=16",
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


def state(folder: Path) -> dict[str, np.ndarray]:
    """Weights, statistics, key encoder and queue at the end."""
    newest = max((folder / "checkpoints").iterdir())
    return {name: value.numpy() for name, value in read_checkpoint(newest).tensors.items()}


def assert_same_state(found: Path, expected: Path) -> None:
    one, other = state(found), state(expected)
    assert one.keys() == other.keys()
    for name, value in other.items():
        np.testing.assert_allclose(one[name], value, rtol=0, atol=1e-9, err_msg=name)


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
    command = [*COMMAND, "transfer", "moco", "--out", str(killed)]
    with subprocess.Popen(
        [*command, *arguments([*sets, "workers.count=2"])],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as driver:
        try:
            wait_for_step(killed, 30)
            workers = [
                child
                for child in psutil.Process(driver.pid).children(recursive=True)
                if "RayTrainWorker" in child.name()
            ]
            assert len(workers) == 2
            workers[0].kill()
            assert driver.wait(timeout=400) == 0
        finally:
            driver.kill()
    assert_same_state(killed, whole)
    assert [row["step"] for row in rows_of(killed)] == list(range(1, 301))
