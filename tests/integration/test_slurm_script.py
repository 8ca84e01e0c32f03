"""The Slurm script, with stand-ins for the two commands of Slurm and a real Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import COMMAND, arguments  # type: ignore[attr-defined]
from forks import processes_below
from runs import steps_of

from metaray.cluster.manifests.config import ClusterConfig
from metaray.cluster.manifests.make import KINDS

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SCONTROL = "echo node1; echo node2"
# Two nodes of one machine: the second needs Ray's way around its rule for loopback
SRUN = """echo "$@" >> {folder}/srun.log
[[ "$*" == *hostname* ]] && {{ echo 127.0.0.1; exit; }}
while [[ "$1" == --* ]]; do shift; done
shift
exec {python} -m metaray.cluster.loopback_node "$@"
"""


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


def test_a_run_over_two_nodes_is_warned_and_saves(
    tmp_path: Path, tiny: list[str], environment: dict[str, str]
) -> None:
    """The batch shell is told of the time limit; the run ends with a checkpoint and all is gone."""
    programs = tmp_path / "env" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(
        f"export PATH={programs}:{Path(sys.executable).parent}:$PATH\n"
    )
    program(programs / "scontrol", SCONTROL)
    program(programs / "srun", SRUN.format(folder=tmp_path, python=sys.executable))
    program(programs / "metaray", f'exec {" ".join(COMMAND)} "$@"')
    sets = [*tiny, "train.outer_steps=100000", "train.validate_every=0", "workers.count=2"]
    config = ClusterConfig.model_validate(
        {
            "storage": str(tmp_path),
            "workers": [{"max": 2, "cpus": 1}],
            "slurm": {"environment": str(tmp_path / "env")},
            "command": " ".join(["train", *arguments(sets), "--out", str(tmp_path / "run")]),
        }
    )
    script = tmp_path / "job.sh"
    script.write_text(KINDS["slurm"](config))
    job = environment | {
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_ID": str(os.getpid()),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray shall look for loopback on loopback
    }
    with (tmp_path / "log").open("w") as log:
        shell = subprocess.Popen(["bash", script], env=job, stdout=log, stderr=log)
        started = []
        try:
            while shell.poll() is None and not steps_of(tmp_path / "run"):
                started = processes_below(shell.pid)
                time.sleep(0.5)
        finally:
            shell.send_signal(signal.SIGTERM)
            code = shell.wait(timeout=120)
    told = (tmp_path / "log").read_text()
    assert code == 130, told[-3000:]
    assert "with a checkpoint: continue with" in told
    _, left = psutil.wait_procs(started, timeout=30)  # Ray's own follow their parents
    assert left == []
    asked = (tmp_path / "srun.log").read_text()
    assert "start --head" in asked
    assert "--exclude=node1 ray start --block" in asked
    assert "TOKEN" not in asked
