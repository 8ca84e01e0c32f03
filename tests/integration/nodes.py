"""Clusters of several nodes on this machine's loopback, of which any can be lost."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
from ports import free_port, wait_for_port

Process = subprocess.Popen[bytes]


class Nodes:
    """A head with one CPU, and nodes of one CPU that come and go."""

    def __init__(self, environment: dict[str, str], stack: ExitStack) -> None:
        self.environment = environment | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # loopback
            "RAY_health_check_period_ms": "500",
            "RAY_health_check_timeout_ms": "1000",
        }
        self._stack = stack
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mr-", dir="/tmp"))
        head = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}",
                f"--ray-client-server-port={free_port()}"]  # fmt: skip
        self._start(*head)
        wait_for_port(port)

    def add(self, total: int) -> Process:
        """Another node, once there are ``total`` with it and the head."""
        added = self._start(f"--address={self.address}")
        count = "sum(node['Alive'] for node in ray.nodes())"
        script = (
            f"import ray, time; ray.init({self.address!r}, log_to_driver=False)\n"
            f"while {count} < {total}: time.sleep(0.1)"
        )
        command: list[Any] = [sys.executable, "-c", script]
        subprocess.run(command, env=self.environment, timeout=60, check=True)
        return added

    def _start(self, *arguments: str) -> Process:
        node_of = [sys.executable, "-m", "metaray.cluster.loopback_node", "start", "--block"]
        command = [*node_of, "--num-cpus=1", "--node-ip-address=127.0.0.1"]
        quiet = subprocess.DEVNULL
        node = subprocess.Popen(
            [*command, *arguments], env=self.environment, stdout=quiet, stderr=quiet
        )
        self._stack.callback(end, node)
        return node


@contextmanager
def cluster(environment: dict[str, str]) -> Iterator[Nodes]:
    with ExitStack() as stack:
        yield Nodes(environment, stack)


def parts_of(process: Process) -> list[psutil.Process]:
    """A process and all that it started."""
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def end(process: Process) -> None:
    """With all that it started, as a machine that loses its power."""
    if process.poll() is None:
        for part in parts_of(process):
            part.kill()
        process.wait()
