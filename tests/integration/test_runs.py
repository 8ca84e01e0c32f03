"""Whole runs of the command: killed, stopped, resumed, scaled; the same bits as undisturbed."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import COMMAND, Command, arguments, summary_of  # type: ignore[attr-defined]
from ports import free_port, wait_for_port
from runs import output_of, rows_of, running, steps_of, wait_for, wait_for_step

pytestmark = pytest.mark.ray

LONG = [
    "train.outer_steps=40",
    "train.schedule=constant",
    "train.checkpoint_every=7",
    "train.validate_every=10",
]


@pytest.fixture(scope="module")
def undisturbed(
    metaray: Command, tiny: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder: Path = tmp_path_factory.mktemp("undisturbed") / "run"
    result = metaray("train", "--out", folder, *arguments([*tiny, *LONG]))
    assert result.returncode == 0, result.stderr
    return folder


def test_a_run_directory_holds_what_it_promises(undisturbed: Path) -> None:
    summary = summary_of(undisturbed)
    promised = {
        "method", "dataset", "ways", "shots", "accuracy", "ci95", "num_episodes", "batch_norm",
        "outer_steps", "tasks_per_s", "wall_s", "params_sha256", "baseline_accuracy",
        "inner_steps", "eval_inner_steps", "checkpoint", "tested_step",
    }  # fmt: skip
    assert promised <= summary.keys()
    config = json.loads((undisturbed / "config.json").read_text())
    assert config["train"]["outer_steps"] == summary["outer_steps"] == 40
    assert {"python", "metaray", "torch", "ray"} <= config["versions"].keys()
    rows = rows_of(undisturbed)
    assert [row["step"] for row in rows] == list(range(1, 41))
    table = pq.read_table(undisturbed / "episodes.parquet")
    assert table.num_rows == summary["num_episodes"] == 10
    assert sum(table["accuracy"].to_pylist()) / 10 == pytest.approx(summary["accuracy"])
    assert list((undisturbed / "plots").glob("*.png"))
    assert "<html" in (undisturbed / "report.html").read_text()


@pytest.mark.parametrize(
    ("workers", "others"),
    [(2, 0), *(pytest.param(*pair, marks=pytest.mark.slow) for pair in ((0, 0), (2, 1)))],
)
def test_killed_and_resumed_gives_the_same_parameters_and_result(
    metaray: Command, environment: dict[str, str], tiny: list[str], undisturbed: Path,
    tmp_path: Path, workers: int, others: int,
) -> None:  # fmt: skip
    """SIGKILL at no chosen moment; it continues with another number of workers."""
    folder = tmp_path / "run"
    sets = [*tiny, *LONG, f"workers.count={workers}", "workers.cpus=0.5"]
    with running(environment, "train", folder, sets) as process:
        wait_for_step(folder, 17)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (folder / "summary.json").exists()
    result = metaray("train", "--resume", folder, "--set", f"workers.count={others}")
    assert result.returncode == 0, result.stderr
    expected, resumed = summary_of(undisturbed), summary_of(folder)
    for key in ("params_sha256", "accuracy", "baseline_accuracy", "tested_step", "val_accuracy"):
        assert resumed[key] == expected[key], key
    rows = rows_of(folder)
    assert [row["step"] for row in rows] == list(range(1, 41))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_with_a_checkpoint(
    metaray: Command, environment: dict[str, str], tiny: list[str], undisturbed: Path,
    tmp_path: Path, number: signal.Signals,
) -> None:  # fmt: skip
    folder = tmp_path / "run"
    with running(environment, "train", folder, [*tiny, *LONG]) as process:
        wait_for_step(folder, 12)
        process.send_signal(number)
        assert process.wait(timeout=60) == 130, output_of(folder)
    assert "continue with metaray train --resume" in output_of(folder)
    assert "Traceback" not in output_of(folder)
    steps = steps_of(folder)
    assert (folder / "checkpoints" / f"step-{steps:08d}.safetensors").exists()
    assert metaray("train", "--resume", folder).returncode == 0
    assert summary_of(folder)["params_sha256"] == summary_of(undisturbed)["params_sha256"]


@pytest.fixture
def cluster(environment: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a Ray head of this test's own, and an environment with its token."""
    port = free_port()
    settings = environment | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the loopback address
    }
    command = [
        str(Path(COMMAND[0]).with_name("ray")), "start", "--head", "--block", f"--port={port}",
        "--num-cpus=2", "--include-dashboard=false",
    ]  # fmt: skip
    quiet = subprocess.DEVNULL
    with (
        tempfile.TemporaryDirectory(
            prefix="mr-", dir="/tmp"
        ) as folder,  # Ray's paths must be short
        subprocess.Popen(
            [*command, f"--temp-dir={folder}"], env=settings, stdout=quiet, stderr=quiet
        ) as head,
    ):
        wait_for_port(port)
        yield f"127.0.0.1:{port}", settings
        head.terminate()


def test_a_job_joins_a_running_cluster_and_is_scaled(
    metaray: Command, cluster: tuple[str, dict[str, str]], tiny: list[str], undisturbed: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    """It is stopped once it has both workers and as many steps as the run that it must equal."""
    address, environment = cluster
    folder = tmp_path / "run"
    sets = [*tiny, *LONG, "workers.count=1", "workers.cpus=0.5", "train.outer_steps=4000"]
    with running(environment, "train", folder, sets, "--address", address) as process:
        wait_for_step(folder, 3)
        assert metaray("scale", folder, 2).returncode == 0
        wait_for(lambda: "worker 1 joined" in output_of(folder), "a worker that joins")
        wait_for_step(folder, max(40, steps_of(folder) + 3))
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130, output_of(folder)
    rows = rows_of(folder)
    assert {row["workers"] for row in rows} == {1, 2}
    expected = rows_of(undisturbed)[39]
    assert rows[39]["grad_norm"] == expected["grad_norm"]
