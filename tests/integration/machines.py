"""Machines of a cluster on this one: each has its own network, and can be disturbed alone.

A machine is a network namespace with a cable to a common switch. All share the files.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

import psutil

PORT = 6379


def are_possible() -> bool:
    """Whether this user may make network namespaces."""
    make = ["unshare", "--net", "ip", "link", "add", "type", "veth"]
    try:
        return subprocess.run(make, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


class Network:
    """A network namespace, held by a process that sleeps."""

    def __init__(self, stack: ExitStack) -> None:
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        stack.callback(holder.wait)
        stack.callback(holder.kill)
        self.pid = holder.pid
        deadline = monotonic() + 10
        while self.key == _key("self"):
            assert monotonic() < deadline, "there is no new namespace"
            sleep(0.01)

    @property
    def key(self) -> str:
        """What tells it apart from others."""
        return _key(str(self.pid))

    def inside(self, *words: object) -> list[str]:
        """The command line of ``words``, run in it."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *map(str, words)]

    def ip(self, words: str) -> None:
        """A command of ``ip`` in it."""
        subprocess.run(self.inside("ip", *words.split()), check=True, timeout=10)


class Machine:
    """A network with a node of Ray in it."""

    def __init__(self, number: int, switch: Network, stack: ExitStack) -> None:
        self.name = f"machine {number}"
        self.address = f"10.77.0.{number}"
        self.network = Network(stack)
        self.node: subprocess.Popen[bytes] | None = None
        self._switch, self._cable = switch, f"m{number}"
        switch.ip(f"link add {self._cable} type veth peer name eth0 netns {self.network.pid}")
        switch.ip(f"link set {self._cable} master switch")
        self.network.ip("link set lo up")
        self.network.ip(f"addr add {self.address}/24 dev eth0")
        self.network.ip("link set eth0 up")
        self.network.ip("route add default via 10.77.0.254")  # by which Ray finds its address
        self.connect()

    def connect(self) -> None:
        """Plug the cable in."""
        self._switch.ip(f"link set {self._cable} up")

    def disconnect(self) -> None:
        """Pull the cable out: packets are lost, and no connection is told so."""
        self._switch.ip(f"link set {self._cable} down")

    def processes(self, word: str = "") -> list[psutil.Process]:
        """Those with ``word`` in their command line, or all; without the one that holds it."""
        found, key = [], self.network.key
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                here = process.pid != self.network.pid and _key(str(process.pid)) == key
                if here and word in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def end(self) -> None:
        """All processes at once, as without power."""
        while left := self.processes():
            for process in left:
                _send(process, signal.SIGKILL)
            if self.node is not None:
                self.node.poll()
            sleep(0.05)
        if self.node is not None:
            self.node.wait()


class Machines:
    """A head without workers, and ``count`` machines with a CPU each."""

    def __init__(self, environment: dict[str, str], count: int, stack: ExitStack) -> None:
        self.environment = environment | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_health_check_period_ms": "500",
            "RAY_health_check_timeout_ms": "1000",
        }
        self._folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mr-", dir="/tmp"))
        self._logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        switch = Network(stack)
        switch.ip("link add switch type bridge")
        switch.ip("link set switch up")
        self.head, *self.others = (Machine(n, switch, stack) for n in range(1, count + 2))
        self.address = f"{self.head.address}:{PORT}"
        stack.callback(lambda: [machine.end() for machine in (self.head, *self.others)])
        self._begin(
            self.head, "--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false",
            f"--temp-dir={self._folder}",
        )  # fmt: skip
        self._wait_for_head()
        for machine in self.others:
            self.begin(machine)

    def begin(self, machine: Machine) -> None:
        """A new node on ``machine``, which is none of the head's."""
        machine.end()
        self._begin(machine, f"--address={self.address}", "--num-cpus=1")

    def command(self, *words: object) -> list[str]:
        """The command line of ``words``, run on the head."""
        return self.head.network.inside(*words)

    def _begin(self, machine: Machine, *arguments: str) -> None:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        command += [f"--node-ip-address={machine.address}", "--object-store-memory=200000000"]
        log = self._logs / machine.name
        with log.open("ab") as output:
            machine.node = subprocess.Popen(
                machine.network.inside(*command, *arguments),
                env=self.environment, stdout=output, stderr=output,
            )  # fmt: skip

    def _wait_for_head(self) -> None:
        knock = f"import socket; socket.create_connection(('{self.head.address}', {PORT}), 1)"
        deadline = monotonic() + 60
        while subprocess.run(
            self.command(sys.executable, "-S", "-c", knock), stderr=subprocess.DEVNULL
        ).returncode:
            assert monotonic() < deadline, (self._logs / self.head.name).read_text()
            sleep(0.5)


@contextmanager
def machines(environment: dict[str, str], count: int) -> Iterator[Machines]:
    with ExitStack() as stack:
        yield Machines(environment, count, stack)


def _key(pid: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/net")


def _send(process: psutil.Process, number: int) -> None:
    with suppress(psutil.Error):
        process.send_signal(number)
