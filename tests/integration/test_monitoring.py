"""A real Prometheus takes up a training, a sweep and a transfer job that run on a cluster."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from conftest import COMMAND, arguments  # type: ignore[attr-defined]
from image_files import write_images
from ports import free_port, wait_for_port
from sweeps import SPACE

from metaray.cluster.monitoring.files import DISCOVERY, write_monitoring
from metaray.cluster.monitoring.panels import BOARDS
from metaray.platform.run.status import Status

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus on the PATH"),
]
WAIT_S = 540.0
PATIENT = "workers.start_timeout_s=600"


@contextmanager
def started(
    command: list[str], environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with (
        log.open("wb") as output,
        subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_until(true: Callable[[], bool], what: str) -> None:
    deadline = monotonic() + WAIT_S
    while not true():
        assert monotonic() < deadline, what
        sleep(1)


class Prometheus:
    """Asks a running one."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def get(self, path: str) -> Any:
        with urlopen(f"{self._url}/{path}", timeout=20) as answer:
            return json.load(answer)["data"]

    def values(self, query: str) -> list[tuple[dict[str, str], float]]:
        found = self.get(f"query?query={quote(query)}")["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]


def is_up(head: subprocess.Popen[bytes], log: Path) -> bool:
    """Whether it came up; it ends where it did not."""
    wait_until(lambda: b"runtime started" in log.read_bytes() or head.poll() is not None, "neither")
    return head.poll() is None


@pytest.fixture
def head(environment: dict[str, str]) -> Iterator[tuple[str, dict[str, str], Path]]:
    """Address, environment with the token, and the file that tells Prometheus the targets."""
    settings = environment | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the loopback address
    }
    with ExitStack() as stack:
        for _ in range(4):  # Ray gives itself 30 s to start, which a busy machine may exceed
            name = tempfile.TemporaryDirectory(prefix="mr-", dir="/tmp", ignore_cleanup_errors=True)
            folder, port = Path(stack.enter_context(name)), free_port()
            command = [
                str(Path(COMMAND[0]).with_name("ray")), "start", "--head", "--block",
                f"--port={port}", f"--dashboard-port={free_port()}", "--num-cpus=8",
                f"--ray-client-server-port={free_port()}",
                f"--temp-dir={folder}",
            ]  # fmt: skip
            process = stack.enter_context(started(command, settings, folder / "head.log"))
            if is_up(process, folder / "head.log"):
                discovery = folder / DISCOVERY
                wait_until(discovery.exists, "the head names no targets")
                yield f"127.0.0.1:{port}", settings, discovery
                return
        pytest.fail("the head does not start")


@pytest.fixture
def prometheus(head: tuple[str, dict[str, str], Path], tmp_path: Path) -> Iterator[Prometheus]:
    files, port = tmp_path / "monitoring", free_port()
    write_monitoring(files, head[2])
    command = [
        "prometheus", f"--config.file={files / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with started(command, dict(os.environ), tmp_path / "prometheus.log"):
        wait_for_port(port)
        yield Prometheus(port)


def transfer_sets(folder: Path) -> list[str]:
    return [
        *write_images(folder), "model.width=4", "train.steps=100000", "train.batch_size=24",
        "train.validate_every=10", "train.checkpoint_every=1000", "workers.count=1",
        "workers.cpus=0.5", PATIENT,
    ]  # fmt: skip


def without_data(prometheus: Prometheus) -> list[str]:
    """Titles of panels whose queries find nothing; a GPU is not to be expected."""
    empty = []
    for board in BOARDS:
        for panel in board.panels:
            for query, _ in panel.queries:
                filled = query.replace("$__rate_interval", "1m").replace("$run", ".*")
                if not panel.on_gpu and not prometheus.values(filled):
                    empty.append(f"{board.kind}: {panel.title}")
    return empty


def test_every_panel_has_data_and_a_lost_worker_is_seen(
    head: tuple[str, dict[str, str], Path],
    prometheus: Prometheus,
    tiny: list[str],
    tmp_path: Path,
) -> None:
    address, environment, _ = head
    trained = tmp_path / "trained"
    long = ["train.outer_steps=100000", "train.validate_every=20", "train.checkpoint_every=1000"]
    training = [*tiny, *long, "workers.count=2", "workers.cpus=0.5", PATIENT]
    short = ["train.outer_steps=60", "train.validate_every=10", "workers.cpus=0.5"]
    space = tmp_path / "space.toml"
    space.write_text(SPACE)
    sweep_options = ["--num-trials=500", "--parallel=1", "--scheduler=none", f"--space={space}"]
    commands = {
        "train": ["train", *arguments(training)],
        "sweep": ["sweep", *sweep_options, *arguments([*tiny, *short])],
        "transfer": ["transfer", "finetune", *arguments(transfer_sets(tmp_path))],
    }
    outs = {"train": trained, "sweep": tmp_path / "swept", "transfer": tmp_path / "transferred"}
    with ExitStack() as stack:
        for name, words in commands.items():
            command = [*COMMAND, *words, "--address", address, "--out", str(outs[name])]
            stack.enter_context(started(command, environment, tmp_path / f"{name}.log"))

        deadline = monotonic() + WAIT_S
        while empty := without_data(prometheus):
            logs = {name: (tmp_path / f"{name}.log").read_text()[-600:] for name in commands}
            assert monotonic() < deadline, (empty, logs)
            sleep(2)

        before = Status.read(trained)
        assert before is not None
        assert [worker.state in ("idle", "busy") for worker in before.workers] == [True, True]
        victim = before.workers[0].pid
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        lost = 'ray_metaray_workers_lost_total{run="trained"}'
        wait_until(lambda: bool(prometheus.values(lost)), "the loss was not exported")
        assert [value for _, value in prometheus.values(lost)] == [1.0]
        wait_until(
            lambda: lively(Status.read(trained)) == [("lost", 0), ("lively", 1), ("lively", 2)],
            "the worker was not replaced",
        )
        wait_until(lambda: "MetarayWorkersLost" in alerts_of(prometheus), "no alert")
        groups = prometheus.get("rules")["groups"]
        assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}
    after = Status.read(trained)
    assert after is not None
    assert after.state == "stopped"
    assert any("was lost" in event.text for event in after.events)


def alerts_of(prometheus: Prometheus) -> set[str]:
    return {alert["labels"]["alertname"] for alert in prometheus.get("alerts")["alerts"]}


def lively(status: Status | None) -> list[tuple[str, int]]:
    """Each worker as lost or at work."""
    if status is None:
        return []
    words = {"lost": "lost", "idle": "lively", "busy": "lively"}
    return [(words.get(worker.state, worker.state), worker.number) for worker in status.workers]
