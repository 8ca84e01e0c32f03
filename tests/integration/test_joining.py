"""Joining a cluster: of other versions, and through a Ray client."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from conftest import COMMAND, Command, arguments, summary_of  # type: ignore[attr-defined]
from nodes import Nodes, cluster

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def train(
    nodes: Nodes, out: Path, sets: list[str], address: str
) -> subprocess.CompletedProcess[str]:
    words = ["train", "--out", out, "--address", address, *arguments([*sets, "workers.count=1"])]
    return subprocess.run(
        [*COMMAND, *map(str, words)], env=nodes.environment | {"RAY_ADDRESS": nodes.address},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def test_a_cluster_of_another_ray_is_named_with_what_to_do(
    environment: dict[str, str], tiny: list[str], tmp_path: Path
) -> None:
    """The head only says that it is another one; Ray compares nothing else."""
    with cluster(environment, ray_version="2.53.1") as nodes:
        for number, address in enumerate(("auto", nodes.address)):
            result = train(nodes, tmp_path / str(number), tiny, address)
            assert result.returncode == 2, result.stderr
            (sentence,) = [line for line in result.stderr.splitlines() if "metaray: " in line]
            assert f"the Ray cluster at {nodes.address}" in sentence
            assert "has Ray 2.53.1 and Python 3." in sentence
            assert 'so run pip install "ray==2.53.1" here, or send' in sentence
            assert "Traceback" not in result.stderr


def test_a_ray_client_gives_the_same_bits(
    metaray: Command, environment: dict[str, str], tiny: list[str], tmp_path: Path
) -> None:
    assert metaray("train", "--out", tmp_path / "alone", *arguments(tiny)).returncode == 0
    with cluster(environment) as nodes:
        result = train(nodes, tmp_path / "run", tiny, nodes.client_address)
    assert result.returncode == 0, result.stderr
    found, expected = summary_of(tmp_path / "run"), summary_of(tmp_path / "alone")
    assert found["params_sha256"] == expected["params_sha256"]
    assert found["accuracy"] == expected["accuracy"]
