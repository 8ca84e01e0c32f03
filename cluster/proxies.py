"""Proxies are for other machines: no request to this machine goes through one.

A proxy would see the token of the cluster, and could not reach this machine's loopback anyway. HTTP
libraries (urllib, requests, which Ray's Jobs API uses, and those of trackers) and gRPC read
``no_proxy``, and pass it on to the processes that they start.
"""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address

_LOOPBACK = ("localhost", ".localhost", "127.0.0.1", "127.0.0.0/8", "::1", "[::1]")
_NAMES = ("no_proxy", "NO_PROXY")


def avoid_proxies(host: str | None = None) -> None:
    """Let this process and those that it starts ask loopback addresses directly.

    Args:
        host: one more name or address, which counts if it leads to loopback.
    """
    if not any(name.lower().endswith("_proxy") and name not in _NAMES for name in os.environ):
        return  # on macOS, no_proxy alone would switch off the proxies of the system
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if given.strip() == "*":
        return
    direct = [*_LOOPBACK, *([host] if host and _is_loopback(host) else [])]
    parts = [part.strip() for part in given.split(",") if part.strip()]
    os.environ.update(dict.fromkeys(_NAMES, ",".join(dict.fromkeys([*parts, *direct]))))


def _is_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return False
    return all(ip_address(str(place[0]).partition("%")[0]).is_loopback for *_, place in found)
