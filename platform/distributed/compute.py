"""Where a job is computed: in this process, or in the workers of Ray Train."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.config.schema import ComputeConfig
from metaray.platform.config.transfer import TransferWorkersConfig
from metaray.platform.run.checkpoint import CheckpointStore
from metaray.platform.run.directory import RunDirectory
from metaray.platform.training.device import choose_device, prepare_process
from metaray.platform.training.transfer.blueprint import Plan, TransferBlueprint
from metaray.platform.training.transfer.communicator import SingleProcess
from metaray.platform.training.transfer.trainer import Trainer
from metaray.platform.training.writer import LocalRunWriter


def check_place(workers: ComputeConfig, address: str) -> None:
    """Raise InputError where settings of the place cannot take effect or are not there."""
    if workers.count == 0 or address == "local":
        choose_device(workers)  # elsewhere only the workers can tell what they have
    if workers.count == 0 and address not in ("local", "current"):
        raise InputError(
            f"workers.count = 0 computes in this process, so --address {address} has no "
            "effect: set workers.count or leave out --address"
        )


@contextmanager
def place_of(workers: TransferWorkersConfig, address: str) -> Iterator[None]:
    """Where ``compute`` finds room for the workers of a job.

    Raises:
        InputError: more workers than there are resources for.
        ClusterError: the cluster cannot be reached.
    """
    if workers.count == 0:
        yield
        return
    from metaray.platform.distributed.ray_train import ray_with_room

    with ray_with_room(workers, address):
        yield


def compute(
    plan: Plan,
    blueprint: TransferBlueprint,
    run: RunDirectory,
    store: CheckpointStore,
    callbacks: CallbackList,
) -> bool:
    """Train from the newest checkpoint of ``store`` and test; whether it was asked to stop.

    Raises:
        TrainingError: the job cannot continue.
    """
    with callbacks.training():
        if plan.config.workers.count:
            from metaray.platform.distributed.ray_train import train_on_ray

            return train_on_ray(plan, run, callbacks)
        with (
            trainer_here(plan, blueprint, run, store, callbacks) as trainer,
            callbacks.attach(),
        ):
            return trainer.run()


@contextmanager
def trainer_here(
    plan: Plan,
    blueprint: TransferBlueprint,
    run: RunDirectory,
    store: CheckpointStore,
    callbacks: CallbackList,
) -> Iterator[Trainer]:
    """A trainer in this process, at the newest checkpoint of ``store``."""
    workers = plan.config.workers
    prepare_process(workers)
    with closing(LocalRunWriter(run, store, callbacks)) as writer:
        yield Trainer(blueprint, SingleProcess(), choose_device(workers), writer)
