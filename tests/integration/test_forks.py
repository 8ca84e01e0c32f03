"""Workers of Ray and commands are forks that have imported torch, and behave as new processes."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from children.fork_client import SOCKET  # type: ignore[import-not-found]
from conftest import COMMAND  # type: ignore[attr-defined]
from forks import Program, processes_below, run_program
from shared_ray import RAY

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fork server needs Linux")
WORKER = "ray/_private/workers/default_worker.py"


@pytest.mark.ray
def test_workers_of_ray_are_forks_and_are_found() -> None:
    RAY.begin()
    import ray

    ids: Callable[[], tuple[int, int]] = lambda: (os.getpid(), os.getppid())  # noqa: E731
    worker, parent = ray.get(ray.remote(ids).remote())
    assert any("fork_server" in word for word in psutil.Process(parent).cmdline())
    (raylet,) = [one for one in psutil.Process().children() if one.name() == "raylet"]
    assert worker in {process.pid for process in processes_below(raylet.pid)}


def fewer_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))


@pytest.mark.parametrize(
    ("words", "code"), [(["--help"], 0), (["--nothing"], 2)], ids=["help", "mistake"]
)
@pytest.mark.parametrize("surroundings", [None, fewer_files], ids=["same", "other"])
def test_a_fork_prints_and_ends_as_a_new_process(
    words: list[str], code: int, surroundings: Callable[[], None] | None
) -> None:
    import ray

    script = os.path.join(os.path.dirname(ray.__path__[0]), WORKER)
    new = {name: value for name, value in os.environ.items() if name != SOCKET}
    one, other = (
        subprocess.run(
            [sys.executable, script, *words], env=environment, preexec_fn=surroundings,
            capture_output=True, text=True, timeout=60, check=False,
        )
        for environment in (new, dict(os.environ))
    )  # fmt: skip
    assert (one.stdout, one.stderr) == (other.stdout, other.stderr)
    assert (one.returncode, other.returncode) == (code, code)
    assert "usage: default_worker.py" in one.stdout + one.stderr


@pytest.mark.parametrize(("words", "code"), [(["methods"], 0), (["trian"], 2)])
def test_a_forked_command_prints_and_ends_as_a_new_process(
    words: list[str], code: int, environment: dict[str, str]
) -> None:
    alone = {name: value for name, value in environment.items() if name != SOCKET}
    one, other = (run_program([*COMMAND, *words], each) for each in (environment, alone))
    assert (one.stdout, one.stderr) == (other.stdout, other.stderr)
    assert (one.returncode, other.returncode) == (code, code)
    assert one.stdout + one.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_signal_ends_a_page_and_its_fork(
    number: signal.Signals, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "page.py").write_text("import time\nprint('up', flush=True)\ntime.sleep(60)\n")
    words = [sys.executable, tmp_path / "page.py"]
    with Program(words, environment, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"up\n"
        fork = psutil.Process(process.runs_in)
        assert fork.pid != process.pid
        process.send_signal(number)
        assert process.wait(timeout=20) == -number
    assert not fork.is_running()
