"""Ray's own helpers, without those that an embedded Ray has no use for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_WITHOUT_USE = ("start_monitor", "start_log_monitor", "start_api_server")
"""methods of Ray's head node: they start the process that adds machines to a cluster, the one that
sends logs of workers to the driver, and the server of the dashboard and of jobs"""


@contextmanager
def without_helpers(*, metrics: bool = False) -> Iterator[None]:
    """A Ray that is started in the block has three Python processes less.

    Each takes one to two seconds of CPU time, and ``ray.init`` waits for the last. An embedded Ray
    is one machine, its logs stay in its folder, and no job is sent to it. A fourth, the agent of
    the dashboard, must be there; without ``metrics`` it serves nothing, as where Ray is installed
    without a dashboard. Ray has no setting for this; where a version has other names, it starts
    everything.
    """
    from ray._private import utils
    from ray._private.node import Node

    instead: list[tuple[Any, str, Any]] = [(Node, name, _nothing) for name in _WITHOUT_USE]
    if not metrics:
        instead.append((utils, "get_dashboard_dependency_error", _no_dashboard))
    kept = [(owner, name, getattr(owner, name, None)) for owner, name, _ in instead]
    for owner, name, function in instead:
        if hasattr(owner, name):
            setattr(owner, name, function)
    try:
        yield
    finally:
        for owner, name, function in kept:
            if function is not None:
                setattr(owner, name, function)


def _nothing(node: Any, *args: Any, **kwargs: Any) -> None:
    """In place of a start."""


def _no_dashboard() -> ImportError:
    """In place of a look at what is installed, which imports it."""
    return ImportError("an embedded Ray has no dashboard")
