"""Processes of Ray that no longer answer, ended from outside."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import NamedTuple

import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


class Place(NamedTuple):
    """Where a process of Ray is."""

    node: str
    """address of its machine"""
    node_id: str
    """of its node, as Ray names it"""
    pid: int

    @classmethod
    def here(cls) -> Place:
        """That of this process, which is a part of Ray."""
        return cls(ray.util.get_node_ip_address(), _own_node(), os.getpid())


def end_process(place: Place) -> None:
    """End a process by force, also one that is stopped, and do not wait for it.

    Ray itself asks a process to end, which a stopped one does not hear; until it ends, Ray keeps
    its resources for it, and no other process can start in its place.
    """
    if place.node_id == _own_node():
        _end_here(place.pid)
        return
    there = NodeAffinitySchedulingStrategy(place.node_id, soft=False)
    options = ray.remote(_end_here).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
    options.remote(place.pid)


def _end_here(pid: int) -> None:
    with suppress(psutil.Error, OSError):
        if "ray::" in " ".join(psutil.Process(pid).cmdline()):  # no other one that has its id now
            os.kill(pid, signal.SIGKILL)


def _own_node() -> str:
    return str(ray.get_runtime_context().get_node_id())
