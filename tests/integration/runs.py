"""Runs in the background, for the tests that disturb them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from conftest import COMMAND, arguments  # type: ignore[attr-defined]


@contextmanager
def training(
    environment: dict[str, str], folder: Path, sets: list[str], *options: str
) -> Iterator[subprocess.Popen[bytes]]:
    """``metaray train`` in the background; what it prints goes to ``output_of(folder)``."""
    command = [*COMMAND, "train", "--out", str(folder), *options, *arguments(sets)]
    with (
        folder.with_suffix(".log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def output_of(folder: Path) -> str:
    return folder.with_suffix(".log").read_text()


def wait_for_step(folder: Path, step: int, within_s: float = 120.0) -> None:
    log = folder / "metrics.jsonl"
    deadline = monotonic() + within_s
    while not log.exists() or log.read_text().count("\n") < step:
        assert monotonic() < deadline, "the run did not come that far"
        sleep(0.02)
