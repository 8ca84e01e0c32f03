"""A cluster in the background of this machine, and jobs on it, from the command line."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import psutil
import pytest
from conftest import COMMAND, arguments, summary_of  # type: ignore[attr-defined]
from forks import Done, kill, parts_of, run_program
from PIL import Image
from ports import free_port
from runs import steps_of, wait_for, wait_for_step

import metaray as mr

pytestmark = [pytest.mark.ray]
Runner = Callable[..., Done]
LONG_S = 240.0


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mr-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def runner(
    environment: dict[str, str], home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Runner:
    """Run ``metaray`` beside the cluster of these tests; ``token`` is for one elsewhere."""
    folder = tmp_path_factory.mktemp("cwd")

    def run(*words: object, **changed: str) -> Done:
        home_too = environment | {"METARAY_HOME": str(home)} | changed
        return run_program([*COMMAND, *words], home_too, cwd=folder, timeout=LONG_S)

    return run


@pytest.fixture(scope="module")
def cluster(runner: Runner, home: Path) -> Iterator[dict[str, object]]:
    """What is noted of a cluster that is up: a head that computes nothing, and a worker node."""
    up = runner("cluster", "up", "--workers", 1, "--cpus", 2)
    assert up.returncode == 0, up.stderr
    try:
        yield noted(home)
    finally:
        down = runner("cluster", "down")
        assert down.returncode == 0, down.stderr


def noted(home: Path) -> dict[str, object]:
    note: dict[str, object] = json.loads((home / "cluster" / "cluster.json").read_text())
    return note


def nodes_of(home: Path) -> list[list[psutil.Process]]:
    """The processes of each node."""
    leaders = [psutil.Process(node["mark"]["pid"]) for node in noted(home)["nodes"]]  # type: ignore[attr-defined]
    return [parts_of(one) for one in leaders]


@pytest.mark.timeout(600)
def test_a_job_goes_the_whole_way(
    runner: Runner, cluster: dict[str, object], home: Path, tiny: list[str], tmp_path: Path
) -> None:
    """Up, submit, look, fetch from the same machine and from another, and nothing listens out."""
    again = runner("cluster", "up")
    assert again.returncode == 0
    assert noted(home) == cluster
    assert "another shape is up" in runner("cluster", "up", "--workers", 2).stderr

    settings = tmp_path / "mine.toml"
    settings.write_text("seed = 3\n")
    sent = runner("submit", "--name", "first", "--wait", "--", "train", settings, *arguments(tiny))
    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert "step 6/6" in sent.stdout
    run = home / "runs" / "first"
    assert json.loads((run / "config.json").read_text())["seed"] == 3

    listed = runner("jobs").stdout
    assert "first" in listed
    assert "succeeded" in listed
    told = runner("status", "first").stdout
    assert f"run directory: {run}" in told
    assert "step 6/6" in runner("logs", "first").stdout

    assert runner("fetch", "first", tmp_path / "here").returncode == 0
    token = (home / "cluster" / "token").read_text()
    url = str(cluster["dashboard_url"])
    elsewhere = {"METARAY_HOME": str(tmp_path / "other"), "RAY_AUTH_TOKEN": token}
    there = runner("fetch", "first", tmp_path / "there", "--address", url, **elsewhere)
    assert there.returncode == 0, there.stderr
    for copy in ("here", "there"):
        found = {
            p.relative_to(tmp_path / copy) for p in (tmp_path / copy).rglob("*") if p.is_file()
        }
        assert found == {p.relative_to(run) for p in run.rglob("*") if p.is_file()}
        for name in found:
            assert (tmp_path / copy / name).read_bytes() == (run / name).read_bytes()
    refused = runner("fetch", "first", tmp_path / "here")
    assert "is not empty" in refused.stderr

    addresses = set()
    for process in chain.from_iterable(nodes_of(home)):
        connections = process.net_connections(kind="tcp")
        addresses |= {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
    assert addresses - {"::ffff:127.0.0.1"} == {"127.0.0.1"}
    files = [path for path in home.rglob("*") if path.is_file()]
    folder = Path(str(cluster["folder"]))
    files += [path for path in (folder / "ray").rglob("*") if path.is_file()]
    holding = [path for path in files if token.encode() in path.read_bytes()]
    assert holding == [home / "cluster" / "token"]
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.timeout(300)
def test_the_file_of_a_plugin_travels_with_its_job(
    runner: Runner, cluster: dict[str, object], home: Path, tiny: list[str], tmp_path: Path
) -> None:
    """The file is gone when the job runs, and the worker finds what came with the job."""
    (tmp_path / "own_config.py").write_text(
        "from metaray.algorithms.methods.method_section import MethodSection\n\n"
        "class OwnConfig(MethodSection):\n"
        "    implementation = 'own_method:Own'\n"
        "    fixed_head = False\n"
        "    learns_regression = False\n"
        "    scale: float = 1.0\n"
    )
    (tmp_path / "own_method.py").write_text(
        "from metaray.algorithms.methods.protonet import ProtoNet\n"
        "from own_config import OwnConfig\n\n"
        "class Own(ProtoNet):\n"
        "    config_class = OwnConfig\n"
    )
    settings = tmp_path / "own.toml"
    settings.write_text('[method]\nname = "own_method:Own"\nscale = 2.0\n')
    sets = [*tiny, "workers.count=1", "workers.cpus=0.5", "train.outer_steps=2"]
    sent = runner("submit", "--name", "own", "--", "train", settings, *arguments(sets))
    assert sent.returncode == 0, sent.stdout + sent.stderr
    for file in tmp_path.glob("own_*.py"):
        file.unlink()
    done = runner("logs", "own", "--follow")
    config = json.loads((home / "runs" / "own" / "config.json").read_text())
    assert config["method"]["name"].endswith("/own_method.py:Own"), done.stdout
    assert config["method"]["scale"] == 2.0
    assert (home / "runs" / "own" / "summary.json").is_file(), done.stdout


@pytest.mark.timeout(300)
def test_up_starts_a_lost_node_again(
    runner: Runner, cluster: dict[str, object], home: Path
) -> None:
    head, lost = nodes_of(home)
    kill(lost)
    psutil.wait_procs(lost)
    assert "1 of its nodes ended" in runner("cluster", "status").stdout
    again = runner("cluster", "up")
    assert again.returncode == 0, again.stderr
    before, now = (note["nodes"] for note in (cluster, noted(home)))
    assert now[0] == before[0]  # type: ignore[index]
    assert len(now) == len(before) == 2  # type: ignore[arg-type]
    assert "nodes ended" not in runner("cluster", "status").stdout
    assert all(part.is_running() for part in head)


@pytest.mark.timeout(300)
def test_what_is_wrong_is_said_in_a_sentence(
    runner: Runner, cluster: dict[str, object], tmp_path: Path
) -> None:
    url = str(cluster["dashboard_url"])
    other = {"METARAY_HOME": str(tmp_path)}
    for words, changed, sentence in (
        (["status", "nothing"], {}, "has no job nothing"),
        (["jobs", "--address", url], other, "asks for a token and none is set"),
        (["jobs", "--address", url], other | {"RAY_AUTH_TOKEN": "x"}, "refuses the token"),
        (["jobs", "--address", "http://127.0.0.1:1"], other, "no Ray dashboard answers"),
        (["cluster", "status"], other, "no cluster of this machine is up"),
        (["submit", "--", "train", "--set", "workers.cpus=99"], {}, "there is room for 0 of"),
        (["submit", "--", "train", "--resume", "gone"], {}, "neither a job of the cluster nor"),
    ):
        result = runner(*words, **changed)
        assert result.returncode == 2, result.stdout + result.stderr
        assert sentence in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_is_served_on_the_cluster(
    runner: Runner, cluster: dict[str, object], home: Path, tiny: list[str], tmp_path: Path
) -> None:
    """By the id of its job; a second server of the run has the tasks of the first."""
    train = ["train", *arguments([*tiny, "method.name=protonet"])]
    sent = runner("submit", "--name", "served", "--wait", "--", *train)
    assert sent.returncode == 0, sent.stdout + sent.stderr
    pictures = []
    for number in range(2):
        pictures.append(tmp_path / f"{number}.png")
        Image.new("L", (20, 20), 200 * number).save(pictures[-1])
    state, port = home / "serving" / "served", str(free_port())
    for name, before in (("one", []), ("two", ["shades"])):
        words = ["submit", "--name", name, "--", "serve", "served", "--port", port]
        begun = runner(*words)
        assert begun.returncode == 0, begun.stderr
        wait_for(lambda name=name: "Ctrl-C" in runner("logs", name).stdout, "server", LONG_S)
        client = mr.Client(f"http://127.0.0.1:{port}", (state / "token").read_text().strip())
        assert client.tasks() == before
        if not before:
            client.register("shades", pictures, ["dark", "light"])
        answers = client.predict("shades", pictures)
        assert [one["prediction"]["label"] for one in answers] == ["dark", "light"]
        runner("stop", name)
        assert "the server has ended" in runner("logs", name).stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_job_that_is_stopped_is_resumed_and_down_ends_all(
    runner: Runner, cluster: dict[str, object], home: Path, tiny: list[str]
) -> None:
    changed = ["workers.count=1", "workers.cpus=0.5", "train.outer_steps=2000"]
    sets = [*tiny, *changed, "train.validate_every=0"]
    sent = runner("submit", "--name", "long", "--", "train", *arguments(sets))
    assert sent.returncode == 0, sent.stderr
    twice = runner("submit", "--name", "long", "--", "train", *arguments([*sets, "seed=1"]))
    assert twice.returncode == 2
    run = home / "runs" / "long"
    wait_for_step(run, 3, LONG_S)
    stopped = runner("stop", "long")
    assert "stopped" in stopped.stdout, stopped.stderr
    steps = steps_of(run)
    assert (run / "checkpoints" / f"step-{steps:08d}.safetensors").exists()

    more = ["--", "train", "--resume", "long", "--set", "train.time_budget_s=0.001"]
    again = runner("submit", "--name", "long", *more)
    assert "has a job long already" in again.stderr
    resumed = runner("submit", "--name", "longer", "--wait", *more)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert summary_of(run)["tested_step"] >= steps

    joined = runner("evaluate", run, "--address", "auto")
    assert joined.returncode == 0, joined.stderr
    assert "the Ray cluster at auto" in joined.stdout

    running = runner("submit", "--name", "last", "--", "train", *arguments(sets))
    assert running.returncode == 0, running.stderr
    wait_for_step(home / "runs" / "last", 3, LONG_S)
    parts = list(chain.from_iterable(nodes_of(home)))
    down = runner("cluster", "down")
    assert "stopping job last" in down.stdout
    assert [part for part in parts if part.is_running()] == []
    assert list((home / "runs" / "last" / "checkpoints").glob("*.safetensors"))
    assert not os.path.exists(str(cluster["folder"]))
    assert "no cluster of this machine is up" in runner("cluster", "down").stdout
