"""A server on Ray Serve: its answers, a replica that dies, and a restart."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.request import urlopen

import numpy as np
import psutil
import pytest
from conftest import COMMAND, Command, arguments  # type: ignore[attr-defined]
from forks import parts_of, titled
from PIL import Image
from ports import free_port

import metaray as mr

pytestmark = pytest.mark.timeout(600)

START_S = 240.0
LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("drawings")
    rng = np.random.default_rng(0)
    for number in range(8):
        pixels = rng.integers(0, 256, (30, 30), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


@contextmanager
def server(
    words: list[str], environment: dict[str, str], log: Path
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server that answers, and its address."""
    port = free_port()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*COMMAND, "serve", *words, "--port", str(port)],
            env=environment, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        deadline = monotonic() + START_S
        while "Ctrl-C ends" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert monotonic() < deadline, log.read_text()
            sleep(0.2)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        finally:
            process.kill()


@pytest.fixture
def trained(metaray: Command, tiny: list[str], tmp_path: Path) -> Path:
    sets = arguments([*tiny, "method.name=protonet"])
    assert metaray("train", "--out", tmp_path / "run", *sets).returncode == 0
    return tmp_path / "run"


LABELS = ["a", "b", "a", "b"]


def test_a_server_answers_as_the_run_on_loopback_alone(
    environment: dict[str, str], trained: Path, tmp_path: Path, drawings: list[Path]
) -> None:
    state, log = tmp_path / "state", tmp_path / "log"
    metrics, words = free_port(), [str(trained), "--state", str(state), "--metrics-port"]
    with server([*words, str(metrics)], environment, log) as (process, url):
        token = (state / "token").read_text().strip()
        assert token in log.read_text()
        client = mr.Client(url, token)
        client.register("letters", drawings[:4], LABELS)
        assert_same(client, drawings, expected_of(trained, drawings))
        assert listening_outside(process) == []
        assert_is_soon_at(f"http://127.0.0.1:{metrics}/metrics", "ray_serve_num_http_requests")
    assert process.returncode == 0, log.read_text()
    assert log.read_text().splitlines()[-2:] == ["Ctrl-C ends the server", "the server has ended"]


@pytest.mark.slow
def test_a_replica_may_die_and_the_server_restart(
    environment: dict[str, str], trained: Path, tmp_path: Path, drawings: list[Path]
) -> None:
    state, log = tmp_path / "state", tmp_path / "log"
    expected = expected_of(trained, drawings)
    words = [str(trained), "--state", str(state)]
    with server([*words, "--replicas", "2"], environment, log) as (process, url):
        client = mr.Client(url, (state / "token").read_text().strip())
        client.register("letters", drawings[:4], LABELS)
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(assert_same, client, drawings, expected) for _ in range(40)]
            replicas(process)[0].kill()
            for one in asked:
                one.result()
    log.unlink()
    with server(words, environment, log) as (process, url):
        client = mr.Client(url, (state / "token").read_text().strip())
        assert client.tasks() == ["letters"]
        assert_same(client, drawings, expected)


def expected_of(run: Path, drawings: list[Path]) -> Any:
    return mr.Run(run).adapt(drawings[:4], LABELS).predict_proba(drawings[4:])


def listening_outside(process: subprocess.Popen[bytes]) -> list[Any]:
    """Addresses other than loopback at which the processes of a server listen."""
    return [
        one.laddr
        for part in parts_of(process)
        for one in connections(part)
        if one.status == psutil.CONN_LISTEN and one.laddr.ip not in LOOPBACK
    ]


def assert_same(client: mr.Client, drawings: list[Path], expected: Any) -> None:
    """What the run itself predicts."""
    found = [one["prediction"] for one in client.predict("letters", drawings[4:])]
    p = np.array([list(one["probabilities"].values()) for one in found])
    np.testing.assert_allclose(p, expected, atol=1e-5)
    assert [one["label"] for one in found] == ["ab"[row.argmax()] for row in expected]


def assert_is_soon_at(url: str, word: str) -> None:
    """Ray collects its metrics every ten seconds."""
    deadline, found = monotonic() + 60, ""
    while word not in found:
        assert monotonic() < deadline, found
        sleep(1)
        with urlopen(url, timeout=10) as answer:
            found = answer.read().decode()


def connections(process: psutil.Process) -> list[Any]:
    try:
        found: list[Any] = process.net_connections("inet")
    except psutil.NoSuchProcess:
        return []
    return found


def replicas(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    found = titled(process.pid, "ServeReplica")
    assert found
    return found


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "is not a run directory"),
        (["nowhere", "--replicas", "0"], "--replicas"),
        (["nowhere", "--port", "0"], "--port 0 is no port"),
        (["nowhere", "--metrics-port", "8000"], "--metrics-port and --port are both 8000"),
        (["nowhere", "--metrics-port", "70000"], "--metrics-port 70000 is no port"),
        (
            ["nowhere", "--metrics-port", "9100", "--address", "127.0.0.1:1"],
            "--metrics-port has no effect on a cluster",
        ),
        (["nowhere", "--token-file", "none"], "cannot read the token in none"),
        (["nowhere", "--host", "0.0.0.0", "--no-token"], "lets everyone who reaches it"),
    ],
)
def test_servers_that_cannot_start(here: Command, words: list[str], sentence: str) -> None:
    done = here("serve", *words)
    assert done.returncode == 2
    assert sentence in done.stderr
