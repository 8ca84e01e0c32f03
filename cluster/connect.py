"""Starting an embedded Ray, or joining a running one.

Ray reads its authentication mode when it is imported, so this module imports it only once the
mode is set. Import whatever else needs Ray inside the ``connected`` block.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from metaray.cluster.errors import ClusterError

_REACH_S = 5.0
# The one way to let Ray use the loopback address of a node, as its own or of one that it joins
_LOOPBACK_NODE = ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


@contextmanager
def connected(address: str, package: ModuleType) -> Iterator[None]:
    """A Ray connection for the time of the block.

    Args:
        address: ``local`` starts a Ray of this process's own, which ends with the block; ``auto``
            joins the one that $RAY_ADDRESS names or ``ray start`` began on this machine;
            ``HOST:PORT`` or ``ray://HOST:PORT`` joins that one; ``current`` uses the one that this
            process is a part of already, and leaves it as it is.
        package: what workers of a joined cluster need to import; it is shipped to them.

    Raises:
        ClusterError: nothing answers there, or it refuses.
    """
    if address == "current":
        yield
        return
    try:
        _start_local() if address == "local" else _join(address, package)
    except ClusterError:
        raise
    except Exception as error:
        raise ClusterError(
            f"cannot use the Ray cluster at {address!r} ({_first_line(error)}): check the address "
            "and RAY_AUTH_TOKEN, or leave out --address to run on this machine"
        ) from error
    try:
        yield
    finally:
        import ray

        ray.shutdown()


def _start_local() -> None:
    """Bound to loopback, without a dashboard, behind a token that no file holds."""
    if "ray" in sys.modules and os.environ.get("RAY_AUTH_MODE") != "token":
        raise ClusterError(
            "Ray was imported without a token, so that whatever it starts could be entered by "
            "others: set RAY_AUTH_MODE=token before the program imports ray"
        )
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.update([_LOOPBACK_NODE])  # so that nothing listens elsewhere
    import ray
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = False  # as the variable, had Ray been imported before
    ray.init(address="local", include_dashboard=False, **_quiet())


def _join(address: str, package: ModuleType) -> None:
    os.environ.setdefault("RAY_AUTH_MODE", "token" if _has_token(os.environ) else "disabled")
    os.environ.setdefault(*_LOOPBACK_NODE)
    if address == "auto":
        address = _started_here()
    _check_reachable(address)
    import ray

    ray.init(address=address, runtime_env={"py_modules": [package]}, **_quiet())


def _started_here() -> str:
    """The address of the cluster that ``ray start`` began on this machine.

    Ray's own search would also find a Ray that is embedded in another program, and waits minutes
    for an answer from it.
    """
    if named := os.environ.get("RAY_ADDRESS"):
        return named
    from ray._private.services import find_bootstrap_address

    address = find_bootstrap_address(None)
    if not address:
        raise ClusterError(
            "no Ray cluster was started on this machine: start one with ray start --head, name "
            "one with --address HOST:PORT, or leave out --address to run on this machine"
        )
    return str(address)


def _quiet() -> dict[str, Any]:
    return {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}


def _has_token(environment: Mapping[str, str]) -> bool:
    named = "RAY_AUTH_TOKEN" in environment or "RAY_AUTH_TOKEN_PATH" in environment
    return named or (Path.home() / ".ray" / "auth_token").is_file()


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes; a closed port is known at once."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        raise ClusterError(
            f"{address!r} is not a cluster address: use local, auto, HOST:PORT or ray://HOST:PORT"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
    except OSError as error:
        raise ClusterError(
            f"no Ray cluster answers at {address} ({error.strerror or error}): check that it runs, "
            "or leave out --address to run on this machine"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
