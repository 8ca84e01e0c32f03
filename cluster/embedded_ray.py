"""Ray's own helpers, without those that an embedded Ray has no use for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_WITHOUT_USE = ("start_monitor", "start_log_monitor", "start_api_server")
"""methods of Ray's head node: they start the process that adds machines to a cluster, the one that
sends logs of workers to the driver, and the server of the dashboard and of jobs"""


@contextmanager
def without_helpers() -> Iterator[None]:
    """A Ray that is started in the block has three Python processes less.

    Each takes one to two seconds of CPU time, and ``ray.init`` waits for the last. An embedded Ray
    is one machine, its logs stay in its folder, and no job is sent to it. Ray has no setting for
    this; where a version names the methods in another way, it starts everything.
    """
    from ray._private.node import Node

    kept = {name: getattr(Node, name) for name in _WITHOUT_USE if hasattr(Node, name)}
    for name in kept:
        setattr(Node, name, _nothing)
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(Node, name, method)


def _nothing(node: Any, *args: Any, **kwargs: Any) -> None:
    """In place of a start."""
