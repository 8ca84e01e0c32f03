"""The Ray that a command starts for itself leaves nothing open, and nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray]
PROGRAM = """
import os, pathlib, metaray
from metaray.cluster.connect import connected
with connected("local", metaray):
    import ray
    folder = pathlib.Path(ray._private.worker.global_worker.node.get_session_dir_path())
    mine = folder.parents[1]
    assert mine.stat().st_mode & 0o077 == 0, oct(mine.stat().st_mode)
    assert ray.get(ray.remote(lambda: 7).remote()) == 7
assert not mine.exists()
"""


def test_its_files_are_private_and_removed_under_a_long_tmpdir(
    environment: dict[str, str], tmp_path: Path
) -> None:
    long = tmp_path / ("job-" + "x" * 60)
    long.mkdir()
    proxy = {"http_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment | proxy | {"TMPDIR": str(long)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert os.listdir(long) == []
