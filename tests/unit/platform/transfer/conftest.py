"""Small jobs: coloured squares that a narrow network tells apart in a few steps."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from typing_extensions import override

from metaray.platform.callbacks.base import Callback
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.config.transfer import TransferConfig
from metaray.platform.experiment.transfer import TRANSFER
from metaray.platform.run.checkpoint import Checkpoint, CheckpointStore
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsRow
from metaray.platform.training.device import choose_device, prepare_process
from metaray.platform.training.transfer.blueprint import Domains, TransferBlueprint
from metaray.platform.training.transfer.communicator import (
    Communicator,
    PeerLostError,
    SingleProcess,
)
from metaray.platform.training.transfer.initialization import (
    InitialState,
    fingerprint,
    initial_state,
)
from metaray.platform.training.transfer.trainer import Trainer
from metaray.platform.training.writer import LocalRunWriter

TINY = [
    "model.width=4",
    "data.image_size=16",
    "train.steps=6",
    "train.batch_size=12",
    "train.shard_size=4",
    "train.validate_every=3",
    "train.checkpoint_every=2",
    "workers.count=0",
    "workers.device=cpu",
    "workers.precision=float64",
]


def write_squares(path: Path, per_class: int, seed: int, classes: int = 3) -> None:
    """An ``.npz`` of noisy images whose class is the quarter that is bright."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    images = rng.integers(0, 120, (len(labels), 16, 16), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        y, x = divmod(int(label), 2)
        image[8 * y : 8 * y + 8, 8 * x : 8 * x + 8] += 100
    np.savez(path, images=images, labels=labels)


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Settings of the data: train and test files, prepared once."""
    folder: Path = tmp_path_factory.mktemp("squares")
    write_squares(folder / "train.npz", 20, 0)
    write_squares(folder / "test.npz", 10, 1)
    return ["data.name=arrays", f"data.root={folder}", f"data.cache={folder / 'cache'}", *TINY]


class Threads(Communicator):
    """Processes of a group as threads of this one."""

    def __init__(self, rank: int, size: int, shared: dict[str, Any]) -> None:
        self.rank, self.size, self._shared = rank, size, shared

    @override
    def sum_in_order(self, own: Iterable[Tensor], owners: Sequence[int]) -> Tensor:
        self._shared[self.rank] = iter(list(own))
        self._wait()
        if self.rank == 0:
            vectors = [next(self._shared[owner]) for owner in owners]
            self._shared["sum"] = functools.reduce(torch.add, vectors)
        self._wait()
        return self._shared["sum"].clone()

    @override
    def fill(self, whole: Tensor) -> None:
        self._shared[self.rank] = whole.clone()
        self._wait()
        total = sum(self._shared[rank] for rank in range(self.size))
        self._wait()
        whole.copy_(total)

    def _wait(self) -> None:
        try:
            self._shared["barrier"].wait(timeout=120)
        except threading.BrokenBarrierError as error:
            raise PeerLostError("a thread is gone") from error


class RowList(Callback):
    """Keeps the rows of a training."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    @override
    def on_step(self, row: MetricsRow) -> None:
        self._rows.append(dict(row))


class TinyJob:
    """A job in a folder, for as many runs of its trainer as a test likes."""

    def __init__(self, folder: Path, sets: list[str]) -> None:
        self.config: TransferConfig = TRANSFER.load(None, sets)
        self.domains = Domains.open(self.config)
        self.beginning: InitialState = initial_state(self.config, self.domains)
        self.run = RunDirectory.create(folder)
        self.rows: list[dict[str, Any]] = []
        keep = self.config.train.keep_checkpoints
        self.store = CheckpointStore(self.run.checkpoints, fingerprint(self.beginning.plan), keep)
        self.store.save(self.beginning.checkpoint)

    @property
    def blueprint(self) -> TransferBlueprint:
        return TransferBlueprint(self.beginning.plan, self.domains)

    def trainer(
        self, communicator: Communicator, stop: Callable[[], bool] = lambda: False
    ) -> Trainer:
        callbacks = CallbackList([RowList(self.rows)])
        callbacks.stop.add_condition(stop)
        writer = LocalRunWriter(self.run, self.store, callbacks)
        prepare_process(self.config.workers)
        device = choose_device(self.config.workers)
        return Trainer(self.blueprint, communicator, device, writer)

    def train(self, size: int = 1, stop: Callable[[], bool] = lambda: False) -> Checkpoint:
        """All of it, by ``size`` threads; the last checkpoint."""
        if size == 1:
            self.trainer(SingleProcess(), stop).run()
        else:
            self._train_in_threads(size, stop)
        last = self.store.latest()
        assert last is not None
        return last

    def _train_in_threads(self, size: int, stop: Callable[[], bool]) -> None:
        shared = {"barrier": threading.Barrier(size)}
        trainers = [self.trainer(Threads(rank, size, shared), stop) for rank in range(size)]
        errors: list[BaseException] = []

        def run(trainer: Trainer) -> None:
            try:
                trainer.run()
            except BaseException as error:
                errors.append(error)
                shared["barrier"].abort()

        threads = [threading.Thread(target=run, args=(trainer,)) for trainer in trainers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]


@pytest.fixture
def job(squares: list[str], tmp_path: Path) -> Callable[..., TinyJob]:
    """A job under further settings."""
    count = iter(range(100))

    def make(*sets: str) -> TinyJob:
        return TinyJob(tmp_path / f"run{next(count)}", [*squares, *sets])

    return make
