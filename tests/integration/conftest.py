"""The real command: in this process, or in a new one where that makes a difference."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from forks import CHILDREN, Done, fork_server, run_program
from shared_ray import RAY

from metaray.platform.cli.main import run

Command = Callable[..., Done]
COMMAND = [sys.executable, "-m", "metaray"]


def arguments(sets: list[str]) -> list[str]:
    """Settings as ``--set`` options."""
    return [part for item in sets for part in ("--set", item)]


def summary_of(folder: Path) -> dict[str, Any]:
    """A run's summary."""
    return json.loads((folder / "summary.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="session", autouse=True)
def _children() -> Iterator[None]:
    """Processes that tests start draw nothing, and workers of Ray begin with torch imported."""
    folders = [str(CHILDREN), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, folders)))
        with fork_server() as (name, path):
            patch.setenv(name, path)
            yield


@pytest.fixture(scope="session", autouse=True)
def _cache_of_all(cache: Path) -> Iterator[None]:
    """Where a run says nothing of where prepared data are, here and in workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METARAY_CACHE", str(cache))
        yield


@pytest.fixture(scope="session")
def environment(_children: None) -> dict[str, str]:
    """A terminal of fixed width, and no Ray settings of the machine's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return kept | {"COLUMNS": "200", "NO_COLOR": "1"}


@pytest.fixture(scope="session")
def process(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Run ``metaray`` with arguments, in a new process and a separate folder."""
    folder = tmp_path_factory.mktemp("cwd")

    def command(*args: object) -> Done:
        return run_program([*COMMAND, *args], environment, cwd=folder, timeout=240)

    return command


@pytest.fixture(scope="session")
def metaray(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """As ``process``, in this process: loading the libraries is most of a small run.

    In tests with the marker ``ray`` it uses the Ray that they share.
    """
    folder = tmp_path_factory.mktemp("cwd")
    return lambda *args: called(RAY.words(args), folder)


@pytest.fixture
def here(tmp_path: Path) -> Command:
    """As ``metaray``, in the folder of the test."""
    return lambda *args: called(RAY.words(args), tmp_path)


def called(words: list[str], folder: Path) -> Done:
    """The command line in this process, in ``folder``."""
    out, err = StringIO(), StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        patch.setenv("COLUMNS", "200")
        patch.setenv("NO_COLOR", "1")
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["metaray", *words])
        with pytest.raises(SystemExit) as ended:
            run()
    code = ended.value.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


@pytest.fixture
def own_ray() -> None:
    """Commands in this process start a new Ray, as they do without an --address."""
    RAY.end()
    RAY.wanted = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in which tests share a Ray follow one another, so that it starts seldom."""
    RAY.files = {item.path for item in items if item.get_closest_marker("ray")}
    items.sort(key=lambda item: item.path not in RAY.files)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    RAY.wanted = item.get_closest_marker("ray") is not None


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """The shared Ray ends before tests that have no use for it."""
    if nextitem is None or nextitem.path not in RAY.files:
        RAY.end()
