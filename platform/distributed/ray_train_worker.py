"""What each worker of Ray Train does."""

from __future__ import annotations

import os
from typing import Any

import ray
import ray.train.torch
import torch

from metaray.platform.config.schema import ComputeConfig
from metaray.platform.distributed.ray_writer import RemoteRunWriter
from metaray.platform.run.status import WorkerState
from metaray.platform.training.device import choose_device, prepare_process
from metaray.platform.training.transfer.blueprint import Domains, TransferBlueprint
from metaray.platform.training.transfer.communicator import PeerLostError, ProcessGroup
from metaray.platform.training.transfer.trainer import Trainer


def work(job: dict[str, Any]) -> None:
    """Train and test from the writer's newest checkpoint, and tell it that this is done.

    An error that another try would meet again goes to the writer, which ends the job; what is
    raised here, Ray Train takes for a lost worker.
    """
    plan, writer = job["plan"], job["writer"]
    if ray.get(writer.failed.remote()):
        return
    try:
        ray.get(writer.join.remote(_myself(), ray.util.get_current_placement_group()))
        prepare_process(plan.config.workers)
        blueprint = TransferBlueprint(plan, Domains.open(plan.config))
        device = _device(plan.config.workers)
        group = ProcessGroup()
        stopped = Trainer(blueprint, group, device, RemoteRunWriter(writer)).run()
        if group.rank == 0:
            ray.get(writer.end.remote(stopped))
    except PeerLostError:
        raise
    except Exception as error:
        ray.get(writer.fail.remote(error))
        raise


def _myself() -> WorkerState:
    return WorkerState(
        number=ray.train.get_context().get_world_rank(),
        state="busy",
        pid=os.getpid(),
        node=ray.util.get_node_ip_address(),
    )


def _device(workers: ComputeConfig) -> torch.device:
    """That of the settings; of several GPUs the one that Ray gave to this worker."""
    device = choose_device(workers)
    if device.type == "cuda" and device.index is None:
        own: torch.device = ray.train.torch.get_device()
        return own
    return device
