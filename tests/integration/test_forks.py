"""Workers of Ray are forks that have imported torch, and behave as new processes do."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable

import psutil
import pytest
from children.fork_client import SOCKET  # type: ignore[import-not-found]
from forks import processes_below
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
