"""Ports of this machine's loopback, for servers that tests start."""

from __future__ import annotations

import socket
from time import monotonic, sleep


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def wait_for_port(port: int) -> None:
    deadline = monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert monotonic() < deadline, "nothing listens"
            sleep(0.2)
        else:
            return
