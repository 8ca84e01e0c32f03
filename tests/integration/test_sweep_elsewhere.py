"""Sweeps on a cluster that loses a node, and with a study in a database that stops."""

from __future__ import annotations

import secrets
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
from conftest import COMMAND, Command, arguments  # type: ignore[attr-defined]
from databases import SECRET, Database, mariadb, postgresql
from ports import free_port, wait_for_port
from sweeps import SPACE, said, sweeping, trials_of

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def options(tiny: list[str], tmp_path: Path) -> list[str]:
    space = tmp_path / "space.toml"
    space.write_text(SPACE)
    sets = ["train.outer_steps=40", "train.validate_every=10", "train.checkpoint_every=5"]
    given = ["--space", str(space), "--scheduler", "none", "--num-trials", "4"]
    return [*given, *arguments([*tiny, *sets])]


def parts_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def end(process: subprocess.Popen[bytes]) -> None:
    """With all that it started, as a machine that loses its power."""
    for part in parts_of(process):
        part.kill()


@contextmanager
def node(environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    ray = str(Path(COMMAND[0]).with_name("ray"))
    command = [ray, "start", "--block", "--num-cpus=1", *arguments]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                end(process)


@pytest.fixture
def two_nodes(
    environment: dict[str, str],
) -> Iterator[tuple[str, dict[str, str], subprocess.Popen[bytes]]]:
    """The address of a cluster, an environment with its token, and the node that may be lost."""
    settings = environment | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",  # two nodes with one address
        "RAY_health_check_period_ms": "500",
        "RAY_health_check_timeout_ms": "1000",
    }
    port = free_port()
    address = f"127.0.0.1:{port}"
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mr-", dir="/tmp"))
        head = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}"]
        stack.enter_context(node(settings, "--node-ip-address=127.0.0.1", *head))
        wait_for_port(port)
        second = stack.enter_context(
            node(settings, "--node-ip-address=127.0.0.1", f"--address={address}")
        )
        wait_for_nodes(address, settings)
        yield address, settings, second


def wait_for_nodes(address: str, settings: dict[str, str]) -> None:
    count = "sum(node['Alive'] for node in ray.nodes())"
    script = (
        f"import ray, time; ray.init({address!r}, log_to_driver=False)\n"
        f"while {count} < 2: time.sleep(0.1)"
    )
    subprocess.run([COMMAND[0], "-c", script], env=settings, timeout=60, check=True)


def test_trials_of_a_lost_node_are_done_on_another(
    two_nodes: tuple[str, dict[str, str], subprocess.Popen[bytes]],
    options: list[str],
    tmp_path: Path,
) -> None:
    address, environment, second = two_nodes
    folder = tmp_path / "sweep"
    command = ["--out", folder, "--address", address, *options]
    with sweeping(environment, folder, command, trials=[0, 1]) as process:
        assert any("ImplicitFunc" in " ".join(part.cmdline()) for part in parts_of(second))
        end(second)
        assert process.wait(timeout=240) == 0, said(folder)
    rows = trials_of(folder)
    assert [(row["trial"], row["state"]) for row in rows] == [(n, "complete") for n in range(4)]
    for number in range(4):
        log = folder / "trials" / f"{number:04d}" / "metrics.jsonl"
        assert log.read_text().count("\n") == 40


@pytest.fixture(params=[postgresql, mariadb])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    with request.param() as database:
        yield database


def assert_secret_is_kept(folder: Path, *texts: str) -> None:
    assert not any(SECRET in text for text in texts)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_a_study_in_a_database_is_resumed_and_its_password_is_nowhere(
    metaray: Command,
    environment: dict[str, str],
    database: Database,
    options: list[str],
    tmp_path: Path,
) -> None:
    url = database.url
    folder = tmp_path / "sweep"
    given = ["--storage", url, "--out", folder, *options]
    with sweeping(environment, folder, given, trials=[2]) as process:
        process.send_signal(signal.SIGKILL)
    assert (folder / ".tune").exists()
    assert_secret_is_kept(folder, said(folder))
    without = metaray("sweep", "--resume", folder)
    assert f"keeps its study at {url.replace(SECRET, '***')}" in without.stderr
    resumed = metaray("sweep", "--resume", folder, "--storage", url)
    assert resumed.returncode == 0, resumed.stderr
    rows = trials_of(folder)
    assert [(row["trial"], row["state"]) for row in rows] == [(n, "complete") for n in range(4)]
    again = metaray("sweep", "--out", tmp_path / "other" / "sweep", "--storage", url, *options[2:])
    assert "has a study named sweep already" in again.stderr
    assert not (tmp_path / "other" / "sweep").exists()

    more = ["--resume", folder, "--num-trials", 20, "--storage", url]
    with sweeping(environment, folder, more, trials=[5]) as process:
        database.stop()
        assert process.wait(timeout=60) == 2, said(folder)
    assert "the study cannot be reached any more" in said(folder)
    assert "Traceback" not in said(folder)
    told = [without.stderr, resumed.stdout, resumed.stderr, again.stderr, said(folder)]
    assert_secret_is_kept(folder, *told)
