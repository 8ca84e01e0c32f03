"""The process group of a job's workers, which is open to one address of a node alone.

The store of torch, through which processes find each other, listens on all interfaces where Ray
Train sets it up, and accepts every connection. Here it is bound to the address by which the node is
known to Ray: the loopback address in an embedded Ray, whose workers then also talk to each other
over loopback.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import Any, NamedTuple

import ray
import torch.distributed as dist
from ray.exceptions import GetTimeoutError
from ray.train.backend import Backend, BackendConfig
from ray.train.torch import TorchConfig
from typing_extensions import override

_SHUTDOWN_S = 30


class _Door(NamedTuple):
    """A bound socket of the first worker."""

    host: str
    port: int
    descriptor: int


@dataclass
class BoundTorchConfig(TorchConfig):
    """As Ray's, with a store that is bound to the node's own address."""

    @property
    @override
    def backend_cls(self) -> type[Backend]:
        return _BoundBackend


class _BoundBackend(Backend):
    share_cuda_visible_devices = True  # NCCL reaches the GPUs of its neighbours

    @override
    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        assert isinstance(backend_config, BoundTorchConfig)
        door = worker_group.execute_single(0, _open_door)
        size, limit = len(worker_group), timedelta(seconds=backend_config.timeout_s)
        joining = [
            worker_group.execute_single_async(
                rank, _join, door, rank, size, backend_config.backend, limit
            )
            for rank in range(size)
        ]
        ray.get(joining)

    @override
    def on_shutdown(self, worker_group: Any, backend_config: BackendConfig) -> None:
        try:
            ray.get(worker_group.execute_async(_leave), timeout=_SHUTDOWN_S)
        except GetTimeoutError:  # a worker hangs: Ray ends its process
            return


def _open_door() -> _Door:
    host = ray.util.get_node_ip_address()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, 0), family=family)
    return _Door(host, listening.getsockname()[1], listening.detach())


def _join(door: _Door, rank: int, size: int, backend: str, limit: timedelta) -> None:
    if ip_address(door.host).is_loopback:
        loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
        os.environ |= {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
    store = dist.TCPStore(  # type: ignore[attr-defined]
        door.host,
        door.port,
        size,
        is_master=rank == 0,
        timeout=limit,
        wait_for_workers=False,
        master_listen_fd=door.descriptor if rank == 0 else None,
    )
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=limit)


def _leave() -> None:
    if dist.is_initialized() and dist.get_world_size() > 1:
        dist.destroy_process_group()
