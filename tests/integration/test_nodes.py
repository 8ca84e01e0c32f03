"""Training on several nodes: one is lost, one is added, the driver is killed, and the same bits."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import COMMAND, Command, arguments, summary_of  # type: ignore[attr-defined]
from forks import titled
from nodes import cluster, end
from runs import output_of, running, wait_for_step

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]
LONG = ["train.outer_steps=300", "train.validate_every=150", "train.checkpoint_every=20"]


@pytest.fixture(scope="module")
def undisturbed(
    metaray: Command, tiny: list[str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The summary of the same run in one process."""
    folder: Path = tmp_path_factory.mktemp("undisturbed") / "run"
    assert metaray("train", "--out", folder, *arguments([*tiny, *LONG])).returncode == 0
    return summary_of(folder)


def test_nodes_come_and_go_and_the_driver_too(
    undisturbed: dict[str, Any], environment: dict[str, str], tiny: list[str], tmp_path: Path
) -> None:
    folder, sets = tmp_path / "run", [*tiny, *LONG, "workers.count=2"]
    with cluster(environment) as nodes:
        second = nodes.add(total=2)
        with running(
            nodes.environment, "train", folder, sets, "--address", nodes.address
        ) as driver:
            wait_for_step(folder, 40)
            assert titled(second.pid, "ray::")
            end(second)
            wait_for_step(folder, 80)
            nodes.add(total=2)
            wait_for_step(folder, 160)
            driver.send_signal(signal.SIGKILL)
        assert "was lost (process" in output_of(folder)
        again = [*COMMAND, "train", "--resume", folder, "--address", nodes.address]
        resumed = subprocess.run(again, env=nodes.environment, capture_output=True, timeout=200)
        assert resumed.returncode == 0, resumed.stderr
    summary = summary_of(folder)
    assert summary["params_sha256"] == undisturbed["params_sha256"]
    assert summary["accuracy"] == undisturbed["accuracy"]


def test_a_preempted_node_is_left_before_it_ends(
    undisturbed: dict[str, Any], environment: dict[str, str], tiny: list[str], tmp_path: Path
) -> None:
    """No worker is lost where the notice comes early enough."""
    folder, sets = tmp_path / "run", [*tiny, *LONG, "workers.count=2"]
    with cluster(environment) as nodes:
        second = nodes.add(total=2)
        with running(
            nodes.environment, "train", folder, sets, "--address", nodes.address
        ) as driver:
            wait_for_step(folder, 40)
            assert titled(second.pid, "ray::WorkerActor")
            nodes.add(total=3)
            nodes.drain(second, within_s=60)
            assert driver.wait(200) == 0
    said = output_of(folder)
    assert "moves: its node is preempted or drained" in said
    assert "was lost" not in said
    assert summary_of(folder)["params_sha256"] == undisturbed["params_sha256"]
