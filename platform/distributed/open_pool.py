"""The pool that a config and an address ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from metaray.platform.config.meta import RunConfig
from metaray.platform.distributed.compute import check_place
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.pool import LocalPool, Notify, Pool


@contextmanager
def open_pool(blueprint: Blueprint, address: str, notify: Notify) -> Iterator[Pool]:
    """A pool for the time of the block: in process for ``workers.count = 0``, else on Ray.

    Raises:
        InputError: an address is given, and no worker that could run there.
        ClusterError: the cluster cannot be reached.
    """
    config = blueprint.config
    check_place(config.workers, address)
    if config.workers.count == 0:
        yield LocalPool(blueprint)
        return
    import metaray
    from metaray.algorithms import plugins
    from metaray.cluster.connect import connected

    notify(_starting(config, address))
    with connected(address, metaray, plugins.files(), config.workers.start_timeout_s):
        from metaray.platform.distributed.ray_pool import (
            RayPool,  # imports Ray, which must be set up first
        )

        with closing(RayPool(config, notify)) as pool:
            yield pool


def _starting(config: RunConfig, address: str) -> str:
    where = {"local": "a new Ray", "current": "the cluster of this job"}.get(
        address, f"the Ray cluster at {address}"
    )
    return f"starting {config.workers.count} workers on {where}"
