"""What Ray finds when this process imports it: its settings, its token, its clusters."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import user_path
from metaray.cluster.address import Address
from metaray.cluster.errors import ClusterError
from metaray.cluster.proxies import avoid_proxies

_REACH_S = 5.0
# The one way to let Ray use the loopback address of a node, as its own or of one that it joins
LOOPBACK_NODE = ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
# Ray's head remembers every task for its dashboard: 200 MB, until it forgets those before 100,000
NO_TASK_HISTORY = ("RAY_task_events_report_interval_ms", "0")
SHORT_TASK_HISTORY = ("RAY_task_events_max_num_task_in_gcs", "10000")


def patient(start_s: float) -> dict[str, str]:
    """Ray's limits for its own start, which a busy machine exceeds; those that are set stay."""
    wanted = {
        "RAY_gcs_server_port_wait_time_s": f"{start_s:.0f}",
        "RAY_NUM_REDIS_GET_RETRIES": f"{max(20.0, start_s):.0f}",  # of a second each
        "RAY_DASHBOARD_STARTUP_TIMEOUT_S": f"{start_s:.0f}",
        # a longer one would also hide for longer that a head has gone
        "RAY_gcs_server_request_timeout_seconds": "",
    }
    found = {name: os.environ.get(name) or value for name, value in wanted.items()}
    return {name: value for name, value in found.items() if value}


def prepare() -> None:
    """Settings that Ray reads when it is imported, unless they are set already."""
    avoid_proxies()
    os.environ.setdefault("RAY_AUTH_MODE", "token" if given_token() else "disabled")
    os.environ.setdefault(*LOOPBACK_NODE)


def started_here(advice: str = "name one with --address") -> str:
    """The address of the cluster that ``ray start`` began on this machine.

    Ray's own search would also find a Ray that is embedded in another program, and waits minutes
    for an answer from it; and its note of a cluster outlives the cluster.

    Args:
        advice: what else can be done, in the sentence about a cluster that is not there.

    Raises:
        ClusterError: none was, or it has ended.
    """
    from ray._private.services import find_bootstrap_address

    address = find_bootstrap_address(None)
    if not address or _why_closed(address):
        raise ClusterError(
            "no Ray cluster was started on this machine: start one with metaray cluster up, or "
            f"{advice}"
        )
    return str(address)


def given_token() -> str | None:
    """The token that the environment names, or that Ray keeps in the home folder."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token.strip()
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token"
    with suppress(OSError, InputError):
        return user_path(path).read_text(encoding="ascii").strip() or None
    return None


def check_reachable(address: Address) -> None:
    """Raise a ClusterError where a port is closed; Ray itself would try for minutes."""
    if address.is_dashboard:
        raise ClusterError(
            f"{address.named_by} = {address.text} is the address of a dashboard, which takes jobs "
            f"but cannot be joined: set {address.named_by} to HOST:PORT of the cluster itself "
            "(6379 is Ray's usual port), or send the command as a job with metaray submit"
        )
    if reason := _why_closed(address.text):
        raise ClusterError(
            f"no Ray cluster answers at {address.label} ({reason}): {address.remedy}"
        )


def _why_closed(address: str) -> str | None:
    """The system's reason; None if something listens there."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        knock(host.strip("[]"), int(port))
    except (OSError, UnicodeError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None


def knock(host: str, port: int) -> None:
    """Open a connection and close it again; OSError if nothing answers."""
    socket.create_connection((host, port), timeout=_REACH_S).close()
