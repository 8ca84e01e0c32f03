"""Nodes of a cluster that are about to end: preempted, or drained by an operator."""

from __future__ import annotations

from time import monotonic

import ray

from metaray.platform.distributed.ray_alive import check_ray_now

_EVERY_S = 2.0


class DrainingNodes:
    """Asks Ray now and then. Ray places nothing new on such a node, and ends it at a deadline."""

    def __init__(self) -> None:
        self._asked_s = float("-inf")
        self._ids: frozenset[str] = frozenset()

    @property
    def ids(self) -> frozenset[str]:
        """Ids of the nodes, at most two seconds old while Ray's head is there.

        Raises:
            RayEndedError: Ray is gone.
        """
        if monotonic() - self._asked_s >= _EVERY_S and check_ray_now():
            self._ids, self._asked_s = _draining(), monotonic()
        return self._ids


def _draining() -> frozenset[str]:
    if getattr(ray._private.worker.global_worker, "node", None) is None:
        return frozenset()  # a Ray client is not told
    ask = getattr(ray._private.state.state, "get_draining_nodes", None)
    return frozenset() if ask is None else frozenset(ask())
