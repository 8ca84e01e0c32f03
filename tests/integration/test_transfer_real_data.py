"""Each transfer job on real images, from the command line, as README and docs have it."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Command, arguments, summary_of  # type: ignore[attr-defined]
from runs import rows_of, running, wait_for_step
from transfers import WAIT_S, assert_same_state, train_workers

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.shared_data,
    pytest.mark.timeout(900),
]

STEPS = 60
COMMON = [
    "model.width=8",
    f"train.steps={STEPS}",
    "train.batch_size=32",
    "train.shard_size=8",
    "train.validate_every=0",
    "train.checkpoint_every=5",
    "workers.precision=float64",
    "workers.cpus=0.5",
]
USPS = ["data.name=arrays", "data.root={digits}/usps_*.npz", "data.image_size=16"]
CIFAR10 = ["data.name=folder", "data.root={data}/cifar10_images.zip", "data.image_size=32"]
MNIST = [
    "target.name=arrays",
    "target.root={digits}/mnist_t10k.npz",
    "target.division=random",
]
JOBS = {
    "finetune": ("scratch", [*USPS, "init.checkpoint={teacher}", "job.dropout=0.3"]),
    "dann": ("source_only", [*USPS, *MNIST]),
    "distill": ("alone", [*USPS, "job.teacher={teacher}"]),
    "simclr": ("supervised", CIFAR10),
    "moco": ("supervised", [*CIFAR10, "job.queue_size=128"]),
}


@pytest.fixture(scope="module")
def places(
    metaray: Command,
    real_omniglot: Path,
    cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """Of the data, and of a network that was trained on USPS."""
    data = real_omniglot.parent
    folder: Path = tmp_path_factory.mktemp("teacher") / "run"
    places = {"data": data, "digits": data / "digits", "teacher": folder, "cache": cache}
    sets = [*COMMON, *USPS, "workers.count=0"]
    done = metaray("transfer", "finetune", "--out", folder, *at(places, sets))
    assert done.returncode == 0, done.stderr
    return places


def at(places: dict[str, Path], sets: list[str]) -> list[str]:
    words: list[str] = arguments(
        [*(one.format(**places) for one in sets), f"data.cache={places['cache']}"]
    )
    return words


@pytest.mark.parametrize("job", JOBS)
def test_one_process_one_worker_and_two_of_which_one_is_killed(
    metaray: Command,
    environment: dict[str, str],
    places: dict[str, Path],
    tmp_path: Path,
    job: str,
) -> None:
    reference, own = JOBS[job]
    sets = [*COMMON, *own]
    gained = f'evaluate.references=["{reference}"]'
    none, one, two = (tmp_path / name for name in ("none", "one", "two"))
    for folder, more in (none, [gained, "workers.count=0"]), (one, ["workers.count=1"]):
        done = metaray("transfer", job, "--out", folder, *at(places, [*sets, *more]))
        assert done.returncode == 0, done.stderr
    with running(
        environment, f"transfer {job}", two, [], *at(places, [*sets, "workers.count=2"])
    ) as driver:
        wait_for_step(two, 8, WAIT_S)
        workers = train_workers(driver.pid)
        assert len(workers) == 2
        workers[1].kill()
        assert driver.wait(timeout=400) == 0
    assert [row["step"] for row in rows_of(two)] == list(range(1, STEPS + 1))
    assert rows_of(two)[-1]["workers_lost"] == 1
    for folder in (one, two):
        assert_same_state(folder, none)
        assert summary_of(folder)["accuracy"] == summary_of(none)["accuracy"]
    assert reference in summary_of(none)["references"]
    assert reference.replace("_", " ") in (none / "report.html").read_text().replace("_", " ")
