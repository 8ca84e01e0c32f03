"""Whether the Ray that this process uses still runs.

Ray itself says so late and in other words: without its raylet no worker can start, and a minute
after its head has gone it ends this process.
"""

from __future__ import annotations

import socket
from time import monotonic
from typing import Any

import ray
from ray.exceptions import GetTimeoutError

from metaray.platform.common.errors import RayEndedError

_EVERY_S = 1.0
_HEAD_S = 15.0
"""how long the head may be away: a fault-tolerant one comes back"""


class _Head:
    """When the head was last there, and when it was looked for."""

    seen_s = looked_s = 0.0


def check_ray() -> None:
    """Raise RayEndedError where the raylet of this node is gone, or the head for long."""
    if monotonic() - _Head.looked_s >= _EVERY_S:
        check_ray_now()


def check_ray_now() -> bool:
    """As ``check_ray``, also right after it.

    Returns:
        Whether the head is there. Until it is back, calls to it wait, for a minute at most; then
        Ray ends this process.
    """
    node = ray._private.worker.global_worker.node if ray.is_initialized() else None
    if node is None or not getattr(node, "raylet_socket_name", None):
        return True  # a Ray client has neither
    if _is_gone(socket.AF_UNIX, str(node.raylet_socket_name).removeprefix("unix://")):
        raise _ended("its raylet, which starts workers on this machine, is gone")
    now = monotonic()
    if now - _Head.looked_s > _HEAD_S:  # the first look, or the first for long
        _Head.seen_s = now
    _Head.looked_s = now
    host, _, port = str(node.gcs_address).rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if not _is_gone(family, (host.strip("[]"), int(port))):
        _Head.seen_s = now
    elif now - _Head.seen_s > _HEAD_S:
        raise _ended(f"its head at {node.gcs_address} has not answered for {_HEAD_S:.0f} s")
    return _Head.seen_s == now


def answer(reference: Any, limit_s: float) -> Any:
    """What ``reference`` stands for.

    Raises:
        GetTimeoutError: it was not there within ``limit_s``.
        RayEndedError: Ray is gone.
    """
    deadline = monotonic() + limit_s
    while True:
        try:
            return ray.get(reference, timeout=max(0.0, min(_EVERY_S, deadline - monotonic())))
        except GetTimeoutError:
            check_ray()
            if monotonic() >= deadline:
                raise


def _is_gone(family: int, place: Any) -> bool:
    """Whether no process listens there. One that is too busy to answer is not gone."""
    with socket.socket(family) as link:
        link.settimeout(_EVERY_S)
        try:
            link.connect(place)
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        except OSError:
            return False
    return False


def _ended(why: str) -> RayEndedError:
    return RayEndedError(
        f"Ray ended while the run used it ({why}): look for lack of memory, then continue with "
        "--resume"
    )
