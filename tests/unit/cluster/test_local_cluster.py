"""What is noted of a cluster, how its processes are known again, and which cluster is meant."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from metaray.cluster import local_cluster
from metaray.cluster.access import find_access
from metaray.cluster.errors import ClusterError
from metaray.cluster.home import ensure_token, token_file
from metaray.cluster.local_cluster import (
    LocalCluster,
    NodeProcess,
    changing,
    noted_cluster,
    read_token,
    running_cluster,
)
from metaray.cluster.processes import ProcessMark
from metaray.cluster.shape import ClusterShape, default_shape


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("METARAY_HOME", str(tmp_path))
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cluster"


@pytest.fixture
def sleeper() -> subprocess.Popen[bytes]:
    """A process with a child of its own."""
    script = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return process


def cluster_of(process: ProcessMark, folder: Path) -> LocalCluster:
    ray_files = folder / "ray-files"
    ray_files.mkdir(parents=True, exist_ok=True)
    ensure_token()
    return LocalCluster(
        shape=ClusterShape(workers=0, cpus=2, gpus=0),
        address="127.0.0.1:6379",
        dashboard_url="http://127.0.0.1:8265",
        folder=ray_files,
        nodes=(NodeProcess(index=0, mark=process, metrics_port=8080),),
    )


def test_the_token_is_made_once_and_private(folder: Path) -> None:
    token = ensure_token().read_text()
    assert len(token) == 64
    assert stat.S_IMODE(token_file().stat().st_mode) == 0o600
    token_file().chmod(0o644)
    assert ensure_token().read_text() == token
    assert stat.S_IMODE(token_file().stat().st_mode) == 0o600
    token_file().write_text("\n")  # as a full disk leaves it
    with pytest.raises(ClusterError, match="the file is empty"):
        read_token()
    assert len(ensure_token().read_text()) == 64
    assert stat.S_IMODE(token_file().stat().st_mode) == 0o600
    assert os.listdir(token_file().parent) == ["token"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_noted_cluster_is_read_again_and_holds_no_token(folder: Path) -> None:
    cluster = cluster_of(ProcessMark.of(os.getpid()), folder)
    cluster.write()
    assert noted_cluster() == cluster
    assert running_cluster() == cluster
    assert token_file().read_text() not in (folder / "cluster.json").read_text()
    assert token_file().read_text() not in repr(cluster.dashboard)


def test_ending_takes_children_along_and_nothing_else(
    folder: Path, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child outlives its parent, and is ended by force."""
    import psutil

    monkeypatch.setattr(local_cluster, "_END_S", 2.0)
    mark = ProcessMark.of(sleeper.pid)
    (child,) = psutil.Process(sleeper.pid).children()
    cluster = cluster_of(mark, folder)
    cluster.write()
    reused = replace(mark, created=mark.created - 100)  # the id was another process's before
    replace(cluster, nodes=(NodeProcess(0, reused, 8080),)).end()
    assert sleeper.poll() is None
    assert child.is_running()
    cluster.folder.mkdir()
    cluster.write()
    cluster.end()
    assert sleeper.wait(timeout=60) is not None
    assert not child.is_running()
    assert noted_cluster() is None
    assert not cluster.folder.exists()


def test_a_process_that_took_over_the_id_is_not_the_cluster(folder: Path) -> None:
    mark = ProcessMark.of(os.getpid())
    cluster_of(replace(mark, created=mark.created - 100), folder).write()
    assert noted_cluster() is not None
    assert running_cluster() is None


def test_a_note_that_cannot_be_read_is_said(folder: Path) -> None:
    folder.mkdir()
    (folder / "cluster.json").write_text("{}")
    with pytest.raises(ClusterError, match="is not the note of a cluster"):
        noted_cluster()


def test_only_one_command_at_a_time_changes_the_cluster() -> None:
    with (
        changing(),
        pytest.raises(ClusterError, match="another command is starting or ending"),
        changing(),
    ):
        pass
    with changing():
        pass


def test_which_cluster_is_meant(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_of(ProcessMark.of(os.getpid()), folder)
    cluster.write()
    own = token_file().read_text()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "other")
    for address in (None, "auto", cluster.address, cluster.dashboard_url):
        access = find_access(address)
        assert (access.is_here, access.dashboard.token) == (True, own)
    elsewhere = find_access("http://10.0.0.5:8265/")
    assert (elsewhere.is_here, elsewhere.dashboard.token) == (False, "other")
    assert elsewhere.dashboard.url == "http://10.0.0.5:8265"
    monkeypatch.setenv("RAY_ADDRESS", "http://10.0.0.6:8265")
    assert find_access(None).dashboard.url == "http://10.0.0.6:8265"


def test_nodes_divide_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    assert default_shape() == ClusterShape(workers=1, cpus=8, gpus=4)
    assert default_shape(workers=0) == ClusterShape(workers=0, cpus=8, gpus=4)
    two = default_shape(workers=2)
    assert two == ClusterShape(workers=2, cpus=4, gpus=2)
    assert (two.gpus_of(0), two.gpus_of(1)) == ("4,5", "6,7")
    assert default_shape(workers=3, cpus=1, gpus=0) == ClusterShape(workers=3, cpus=1, gpus=0)
