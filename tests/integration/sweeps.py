"""Sweeps in the background, for the tests that disturb them, and what is compared after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pyarrow.parquet as pq
from conftest import COMMAND  # type: ignore[attr-defined]
from forks import Program
from runs import steps_of

SPACE = """
[method.inner_lr]
type = "float"
low = 0.05
high = 2.0
log = true

[task.train_shots]
type = "int"
low = 1
high = 3
"""


@contextmanager
def sweeping(
    environment: dict[str, str], folder: Path, options: Sequence[object], trials: Sequence[int]
) -> Iterator[Program]:
    """``metaray sweep`` while all of ``trials`` train; what it prints goes to ``said(folder)``."""
    with (
        folder.with_suffix(".log").open("wb") as log,
        Program([*COMMAND, "sweep", *options], environment, stdout=log, stderr=log) as process,
    ):
        try:
            _wait_for(process, folder, trials)
            yield process
        finally:
            process.kill()


def said(folder: Path) -> str:
    """What the sweep in ``folder`` printed."""
    return folder.with_suffix(".log").read_text()


def trials_of(folder: Path) -> list[dict[str, Any]]:
    """A row for each trial."""
    return pq.read_table(folder / "sweep.parquet").to_pylist()  # type: ignore[no-any-return]


def essence(folder: Path) -> list[dict[str, Any]]:
    """What does not depend on the clock."""
    return [{k: v for k, v in row.items() if k != "duration_s"} for row in trials_of(folder)]


def _wait_for(process: Program, folder: Path, trials: Sequence[int]) -> None:
    folders = [folder / "trials" / f"{number:04d}" for number in trials]
    deadline = monotonic() + 120
    while not all(map(steps_of, folders)):
        assert monotonic() < deadline, "the sweep did not come that far"
        assert process.poll() is None, said(folder)
        sleep(0.02)
