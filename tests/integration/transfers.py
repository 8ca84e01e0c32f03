"""What tests of transfer jobs look at: the workers of one, and the state that it leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import psutil
from forks import titled

from metaray.platform.run.checkpoint import read_checkpoint

WAIT_S = 200.0
"""for workers to start, or to start again"""


def train_workers(driver: int) -> list[psutil.Process]:
    """The workers of Ray Train below the process ``driver``."""
    return titled(driver, "RayTrainWorker")


def state(folder: Path) -> dict[str, np.ndarray]:
    """Weights, statistics, key encoder and queue at the end."""
    newest = max((folder / "checkpoints").iterdir())
    return {name: value.numpy() for name, value in read_checkpoint(newest).tensors.items()}


def assert_same_state(found: Path, expected: Path) -> None:
    one, other = state(found), state(expected)
    assert one.keys() == other.keys()
    for name, value in other.items():
        np.testing.assert_allclose(one[name], value, rtol=0, atol=1e-9, err_msg=name)
