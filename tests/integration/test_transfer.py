"""Transfer jobs in the workers of Ray Train: the same result, also after one is killed."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from time import monotonic, sleep

import numpy as np
import psutil
import pytest
import ray
from conftest import Command, arguments, summary_of  # type: ignore[attr-defined]
from image_files import write_images
from runs import output_of, rows_of, running, steps_of, wait_for_step
from transfers import WAIT_S, train_workers

pytestmark = pytest.mark.ray

FINETUNE = "transfer finetune"


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A job with dropout and batch norm over shards."""
    folder: Path = tmp_path_factory.mktemp("images")
    return [
        *write_images(folder),
        "model.width=4",
        "job.dropout=0.3",
        "train.steps=20",
        "train.batch_size=24",
        "train.shard_size=8",
        "train.validate_every=10",
        "train.checkpoint_every=5",
        "workers.cpus=0.5",
    ]


@pytest.fixture(scope="module")
def in_process(metaray: Command, sets: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("in_process") / "run"
    done = metaray("transfer", "finetune", "--out", folder, *arguments([*sets, "workers.count=0"]))
    assert done.returncode == 0, done.stderr
    return folder


def weights(folder: Path) -> np.ndarray:
    from metaray.platform.run.checkpoint import read_checkpoint

    newest = max((folder / "checkpoints").iterdir())
    return read_checkpoint(newest).tensors["params"].numpy()


def test_two_workers_give_the_result_of_one_process(
    metaray: Command, sets: list[str], in_process: Path, tmp_path: Path
) -> None:
    """The process group cannot be reached from another machine."""
    out, addresses, over = tmp_path / "run", set[str](), Event()

    def look() -> None:
        while not over.wait(1.0):
            addresses.update(listening_addresses(os.getpid()))

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            words = arguments([*sets, "workers.count=2"])
            done = metaray("transfer", "finetune", "--out", out, *words)
        finally:
            over.set()
        looking.result()
    assert done.returncode == 0, done.stderr
    assert addresses - {"::ffff:127.0.0.1"} == {"127.0.0.1"}
    np.testing.assert_array_equal(weights(out), weights(in_process))
    mine, theirs = summary_of(out), summary_of(in_process)
    assert mine["accuracy"] == theirs["accuracy"]
    rows = rows_of(out)
    assert [row["step"] for row in rows] == list(range(1, 21))
    assert {row["workers"] for row in rows} == {2}
    ended_by = monotonic() + 30
    while ray.available_resources().get("CPU") != ray.cluster_resources()["CPU"]:
        assert monotonic() < ended_by, "the job that is over still reserves CPUs"
        sleep(0.2)


@pytest.mark.slow
def test_one_worker_starts_where_there_is_no_room_for_two(
    metaray: Command, sets: list[str], in_process: Path, tmp_path: Path
) -> None:
    cpus = 0.6 * (os.cpu_count() or 1)
    elastic = ["workers.count=2", "workers.min_count=1", f"workers.cpus={cpus}"]
    done = metaray("transfer", "finetune", "--out", tmp_path / "run", *arguments([*sets, *elastic]))
    assert done.returncode == 0, done.stderr
    assert {row["workers"] for row in rows_of(tmp_path / "run")} == {1}
    np.testing.assert_array_equal(weights(tmp_path / "run"), weights(in_process))


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_loss_that_is_not_finite_ends_the_job_at_once(
    metaray: Command, sets: list[str], tmp_path: Path, workers: int
) -> None:
    """One sentence, also from several workers, none of which is started again."""
    bad = [*sets, f"workers.count={workers}", "train.lr=1e30", "train.checkpoint_every=1"]
    done = metaray("transfer", "finetune", "--out", tmp_path / "run", *arguments(bad))
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    last = done.stderr.strip().splitlines()[-1]
    assert "is not finite" in last
    assert "lower train.lr" in last
    assert "start again" not in done.stderr + done.stdout
    assert np.isfinite(weights(tmp_path / "run")).all()


def test_more_workers_than_room_are_refused_at_once(
    here: Command, sets: list[str], tmp_path: Path
) -> None:
    began = monotonic()
    done = here(
        "transfer", "finetune", "--out", tmp_path / "run", *arguments([*sets, "workers.count=999"])
    )
    assert done.returncode == 2
    assert "of 999 workers" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
    assert monotonic() - began < 60


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_worker_and_a_killed_driver_change_nothing(
    metaray: Command, environment: dict[str, str], sets: list[str], tmp_path: Path
) -> None:
    """Nor does the number of workers, which another one continues with."""
    longer = [*sets, "train.steps=400", "train.validate_every=200", "train.checkpoint_every=20"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = metaray("transfer", "finetune", "--out", whole, *arguments([*longer, "workers.count=0"]))
    assert done.returncode == 0, done.stderr
    with running(environment, FINETUNE, killed, [*longer, "workers.count=2"]) as process:
        wait_for_step(killed, 30, WAIT_S)
        workers = train_workers(process.pid)
        assert len(workers) == 2
        workers[0].kill()
        reached = steps_of(killed)
        wait_for_step(killed, reached + 30, WAIT_S)
        process.kill()
    resumed = metaray("transfer", "finetune", "--resume", killed, *arguments(["workers.count=1"]))
    assert resumed.returncode == 0, resumed.stderr
    np.testing.assert_array_equal(weights(killed), weights(whole))
    rows = rows_of(killed)
    assert [row["step"] for row in rows] == list(range(1, 401))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_stopped_worker_is_replaced_and_changes_nothing(
    environment: dict[str, str], sets: list[str], in_process: Path, tmp_path: Path
) -> None:
    """SIGSTOP leaves a process that is there and never answers, as a dead network does."""
    folder = tmp_path / "run"
    more = [*sets, "workers.count=2", "workers.stall_timeout_s=10"]
    with running(environment, FINETUNE, folder, more) as process:
        wait_for_step(folder, 6, WAIT_S)
        train_workers(process.pid)[1].suspend()
        assert process.wait(timeout=400) == 0, output_of(folder)
    assert "no answer for 1" in output_of(folder)
    assert "workers start again from step" in output_of(folder)
    np.testing.assert_array_equal(weights(folder), weights(in_process))
    assert [row["step"] for row in rows_of(folder)] == list(range(1, 21))


def listening_addresses(driver: int) -> set[str]:
    """Where the workers below the process ``driver`` accept TCP connections."""
    addresses = set()
    for process in train_workers(driver):
        with suppress(psutil.Error):
            connections = process.net_connections(kind="tcp")
            addresses |= {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
    return addresses
