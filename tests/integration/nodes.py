"""Clusters of several nodes on this machine's loopback, of which any can be lost."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from forks import kill, parts_of
from ports import free_port, wait_for_port

Process = subprocess.Popen[bytes]
_START = "from metaray.cluster.loopback_node import main; main()"
_ADDED = (
    "[node['NodeID'] for node in ray.nodes()"
    " if node['Alive'] and 'node:__internal_head__' not in node['Resources']]"
)
"""nodes other than the head, in no order"""


class Nodes:
    """A head with one CPU, and nodes of one CPU that come and go.

    ``ray_version`` is what the head says that it is, if not the truth.
    """

    def __init__(
        self, environment: dict[str, str], stack: ExitStack, ray_version: str | None = None
    ) -> None:
        self.environment = environment | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # loopback
            "RAY_health_check_period_ms": "500",
            "RAY_health_check_timeout_ms": "1000",
            "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "120",  # of a busy machine
        }
        self._stack = stack
        self._ids: dict[int, str] = {}
        port, client_port = free_port(), free_port()
        self.address = f"127.0.0.1:{port}"
        self.client_address = f"ray://127.0.0.1:{client_port}"
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mr-", dir="/tmp"))
        head = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}",
                f"--ray-client-server-port={client_port}"]  # fmt: skip
        self._start(*head, ray_version=ray_version)
        wait_for_port(port)
        wait_for_port(client_port)

    def add(self, total: int) -> Process:
        """Another node, once there are ``total`` with it and the head."""
        added = self._start(f"--address={self.address}")
        script = (
            f"import ray, time; ray.init({self.address!r}, log_to_driver=False)\n"
            f"while len({_ADDED}) < {total - 1}: time.sleep(0.1)\n"
            f"print(*{_ADDED})"
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

    def _start(self, *arguments: str, ray_version: str | None = None) -> Process:
        program = ["-m", "metaray.cluster.loopback_node"]
        if ray_version is not None:
            program = ["-c", f"import ray; ray.__version__ = {ray_version!r}; {_START}"]
        command = [sys.executable, *program, "start", "--block", "--num-cpus=1"]
        command += ["--node-ip-address=127.0.0.1"]
        quiet = subprocess.DEVNULL
        node = subprocess.Popen(
            [*command, *arguments], env=self.environment, stdout=quiet, stderr=quiet
        )
        self._stack.callback(end, node)
        return node


@contextmanager
def cluster(environment: dict[str, str], ray_version: str | None = None) -> Iterator[Nodes]:
    with ExitStack() as stack:
        yield Nodes(environment, stack, ray_version)


def end(process: Process) -> None:
    """With all that it started, as a machine that loses its power."""
    if process.poll() is None:
        kill(parts_of(process))
        process.wait()
