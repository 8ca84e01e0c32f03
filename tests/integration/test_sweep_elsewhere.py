"""Sweeps on a cluster that loses a node, and with a study in a database that stops."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import Command, arguments  # type: ignore[attr-defined]
from databases import SECRET, Database, mariadb, postgresql
from forks import titled
from nodes import cluster, end
from runs import steps_of
from sweeps import SPACE, said, sweeping, trials_of

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def options(tiny: list[str], tmp_path: Path) -> list[str]:
    space = tmp_path / "space.toml"
    space.write_text(SPACE)
    sets = ["train.outer_steps=40", "train.validate_every=10", "train.checkpoint_every=5"]
    given = ["--space", str(space), "--scheduler", "none", "--num-trials", "4"]
    return [*given, *arguments([*tiny, *sets])]


def test_trials_of_a_lost_node_are_done_on_another(
    environment: dict[str, str], options: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "sweep"
    with ExitStack() as stack:
        nodes = stack.enter_context(cluster(environment))
        second = nodes.add(total=2)
        command = ["--out", folder, "--address", nodes.address, *options]
        process = stack.enter_context(sweeping(nodes.environment, folder, command, trials=[0, 1]))
        assert titled(second.pid, "ImplicitFunc")
        end(second)
        assert process.wait(timeout=240) == 0, said(folder)
    rows = trials_of(folder)
    assert [(row["trial"], row["state"]) for row in rows] == [(n, "complete") for n in range(4)]
    for number in range(4):
        assert steps_of(folder / "trials" / f"{number:04d}") == 40


@pytest.fixture(params=[postgresql, mariadb])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    with request.param() as database:
        yield database


def assert_secret_is_kept(folder: Path, *texts: str) -> None:
    assert not any(SECRET in text for text in texts)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_a_study_in_a_database_is_resumed_and_its_password_is_nowhere(
    process: Command,
    environment: dict[str, str],
    database: Database,
    options: list[str],
    tmp_path: Path,
) -> None:
    url = database.url
    folder = tmp_path / "sweep"
    given = ["--storage", url, "--out", folder, *options]
    with sweeping(environment, folder, given, trials=[2]) as first:
        first.send_signal(signal.SIGKILL)
    assert (folder / ".tune").exists()
    assert_secret_is_kept(folder, said(folder))
    without = process("sweep", "--resume", folder)
    assert f"keeps its study at {url.replace(SECRET, '***')}" in without.stderr
    resumed = process("sweep", "--resume", folder, "--storage", url)
    assert resumed.returncode == 0, resumed.stderr
    rows = trials_of(folder)
    assert [(row["trial"], row["state"]) for row in rows] == [(n, "complete") for n in range(4)]
    again = process("sweep", "--out", tmp_path / "other" / "sweep", "--storage", url, *options[2:])
    assert "has a study named sweep already" in again.stderr
    assert not (tmp_path / "other" / "sweep").exists()

    more = ["--resume", folder, "--num-trials", 20, "--storage", url]
    with sweeping(environment, folder, more, trials=[5]) as last:
        database.stop()
        assert last.wait(timeout=60) == 2, said(folder)
    assert "the study cannot be reached any more" in said(folder)
    assert "Traceback" not in said(folder)
    told = [without.stderr, resumed.stdout, resumed.stderr, again.stderr, said(folder)]
    assert_secret_is_kept(folder, *told)
