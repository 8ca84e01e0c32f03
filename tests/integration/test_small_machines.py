"""Training with two workers where a machine gives little: shared memory, file descriptors."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from conftest import COMMAND, Command, arguments, summary_of  # type: ignore[attr-defined]

pytestmark = [pytest.mark.ray, pytest.mark.slow]
LIMITS = {
    "shared memory of 64 MB": "mount -t tmpfs -o size=64m tmpfs /dev/shm",
    "256 file descriptors": "ulimit -n 256",
}


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
def test_a_small_machine_gives_the_same_bits(
    limit: str, metaray: Command, environment: dict[str, str], tiny: list[str], tmp_path: Path
) -> None:
    own_mounts = ["unshare", "--mount", "sh", "-c"]
    if subprocess.run([*own_mounts, limit], capture_output=True, check=False).returncode:
        pytest.skip("only root may mount")
    assert metaray("train", "--out", tmp_path / "alone", *arguments(tiny)).returncode == 0
    words = [*COMMAND, "train", "--out", tmp_path / "run", *arguments([*tiny, "workers.count=2"])]
    script = f"{limit} && exec {shlex.join(map(str, words))}"
    done = subprocess.run(
        [*own_mounts, script], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    expected = summary_of(tmp_path / "alone")["params_sha256"]
    assert summary_of(tmp_path / "run")["params_sha256"] == expected
