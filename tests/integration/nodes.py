"""Clusters of several nodes on this machine's loopback, of which any can be lost."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

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
        self._ids: dict[int, str] = {}
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
        alive = "[node['NodeID'] for node in ray.nodes() if node['Alive']]"
        script = (
            f"import ray, time; ray.init({self.address!r}, log_to_driver=False)\n"
            f"while len({alive}) < {total}: time.sleep(0.1)\n"
            f"print(*{alive})"
        )
        ids = self._run("-c", script).split()
        self._ids[added.pid] = next(name for name in ids if name not in self._ids.values())
        return added

    def drain(self, node: Process, within_s: int) -> None:
        """Give notice that ``node``, which was added, ends ``within_s`` from now."""
        self._run(
            "-m", "ray.scripts.scripts", "drain-node", f"--address={self.address}",
            f"--node-id={self._ids[node.pid]}", "--reason=DRAIN_NODE_REASON_PREEMPTION",
            "--reason-message=test", f"--deadline-remaining-seconds={within_s}",
        )  # fmt: skip

    def _run(self, *arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, env=self.environment, timeout=60, check=True, capture_output=True, text=True
        )
        return done.stdout

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
