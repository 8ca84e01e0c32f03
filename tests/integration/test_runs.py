"""Whole runs of the command: killed, stopped, resumed, scaled; the same bits as undisturbed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from time import monotonic, sleep

import pyarrow.parquet as pq
import pytest
from conftest import COMMAND, Command, arguments, summary_of  # type: ignore[attr-defined]

pytestmark = pytest.mark.ray

LONG = ["train.outer_steps=40", "train.checkpoint_every=7", "train.validate_every=10"]


@pytest.fixture(scope="module")
def undisturbed(
    metaray: Command, tiny: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder: Path = tmp_path_factory.mktemp("undisturbed") / "run"
    result = metaray("train", "--out", folder, *arguments([*tiny, *LONG]))
    assert result.returncode == 0, result.stderr
    return folder


def start(environment: dict[str, str], folder: Path, sets: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "train", "--out", str(folder), *arguments(sets)],
        env=environment,
        cwd=folder.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_step(folder: Path, step: int) -> None:
    log = folder / "metrics.jsonl"
    deadline = monotonic() + 120
    while not log.exists() or log.read_text().count("\n") < step:
        assert monotonic() < deadline, "the run did not come that far"
        sleep(0.02)


def test_a_run_directory_holds_what_it_promises(undisturbed: Path) -> None:
    summary = summary_of(undisturbed)
    promised = {
        "method", "dataset", "ways", "shots", "accuracy", "ci95", "num_episodes", "batch_norm",
        "outer_steps", "tasks_per_s", "wall_s", "params_sha256", "baseline_accuracy",
    }  # fmt: skip
    assert promised <= summary.keys()
    config = json.loads((undisturbed / "config.json").read_text())
    assert config["train"]["outer_steps"] == summary["outer_steps"] == 40
    assert {"python", "metaray", "torch", "ray"} <= config["versions"].keys()
    rows = [json.loads(line) for line in (undisturbed / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 41))
    table = pq.read_table(undisturbed / "episodes.parquet")
    assert table.num_rows == summary["num_episodes"] == 10
    assert sum(table["accuracy"].to_pylist()) / 10 == pytest.approx(summary["accuracy"])
    assert list((undisturbed / "plots").glob("*.png"))
    assert "<html" in (undisturbed / "report.html").read_text()


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_and_resumed_gives_the_same_parameters_and_result(
    metaray: Command, environment: dict[str, str], tiny: list[str], undisturbed: Path,
    tmp_path: Path, workers: int,
) -> None:  # fmt: skip
    """SIGKILL at no chosen moment; it goes on with another number of workers."""
    folder = tmp_path / "run"
    process = start(
        environment, folder, [*tiny, *LONG, f"workers.count={workers}", "workers.cpus=0.5"]
    )
    wait_for_step(folder, 17)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "summary.json").exists()
    result = metaray("train", "--resume", folder, "--set", f"workers.count={1 if workers else 0}")
    assert result.returncode == 0, result.stderr
    expected, resumed = summary_of(undisturbed), summary_of(folder)
    for key in ("params_sha256", "accuracy", "baseline_accuracy", "tested_step", "val_accuracy"):
        assert resumed[key] == expected[key], key
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 41))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_with_a_checkpoint(
    metaray: Command, environment: dict[str, str], tiny: list[str], undisturbed: Path,
    tmp_path: Path, number: signal.Signals,
) -> None:  # fmt: skip
    folder = tmp_path / "run"
    process = start(environment, folder, [*tiny, *LONG])
    wait_for_step(folder, 12)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "continue with metaray train --resume" in output
    assert "Traceback" not in output
    steps = (folder / "metrics.jsonl").read_text().count("\n")
    assert (folder / "checkpoints" / f"step-{steps:08d}.safetensors").exists()
    assert metaray("train", "--resume", folder).returncode == 0
    assert summary_of(folder)["params_sha256"] == summary_of(undisturbed)["params_sha256"]


def test_a_job_joins_a_running_cluster_and_is_scaled(
    metaray: Command, environment: dict[str, str], tiny: list[str], undisturbed: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    ray = Path(COMMAND[0]).with_name("ray")
    port = 20_000 + os.getpid() % 10_000
    cluster_environment = environment | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "a-token-of-this-test-" + "x" * 32,
    }
    head = subprocess.Popen(
        [ray, "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}",
         "--num-cpus=2", "--include-dashboard=false", "--temp-dir=/tmp/mr-ray-test"],
        env=cluster_environment | {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        folder = tmp_path / "run"
        sets = [*tiny, *LONG, "workers.count=1", "workers.cpus=0.5"]
        command = [*COMMAND, "train", "--out", str(folder), "--address", f"127.0.0.1:{port}"]
        deadline = monotonic() + 60
        while True:
            process = subprocess.Popen(
                [*command, *arguments(sets)], env=cluster_environment, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, cwd=tmp_path,
            )  # fmt: skip
            try:
                process.wait(timeout=8)
            except subprocess.TimeoutExpired:
                break
            assert monotonic() < deadline, process.stdout and process.stdout.read()
        wait_for_step(folder, 3)
        assert metaray("scale", folder, 2).returncode == 0
        output, _ = process.communicate(timeout=200)
        assert process.returncode == 0, output
        assert summary_of(folder)["params_sha256"] == summary_of(undisturbed)["params_sha256"]
    finally:
        head.terminate()
        head.wait(timeout=60)
