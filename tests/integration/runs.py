"""Runs in the background, for the tests that disturb them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from conftest import COMMAND, arguments  # type: ignore[attr-defined]
from forks import Program


@contextmanager
def running(
    environment: dict[str, str], command: str, folder: Path, sets: list[str], *options: str
) -> Iterator[Program]:
    """``metaray COMMAND`` until the block ends; what it prints goes to ``output_of(folder)``."""
    words = [*command.split(), "--out", str(folder), *options, *arguments(sets)]
    with (
        folder.with_suffix(".log").open("wb") as log,
        Program([*COMMAND, *words], environment, stdout=log, stderr=log) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def output_of(folder: Path) -> str:
    return folder.with_suffix(".log").read_text()


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The log of a run that has ended."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def steps_of(folder: Path) -> int:
    """Lines of its log so far."""
    log = folder / "metrics.jsonl"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def wait_for_step(folder: Path, step: int, within_s: float = 120.0) -> None:
    wait_for(lambda: steps_of(folder) >= step, f"step {step}", within_s)


def wait_for(has_come: Callable[[], bool], what: str, within_s: float = 120.0) -> None:
    deadline = monotonic() + within_s
    while not has_come():
        assert monotonic() < deadline, f"{what} did not come"
        sleep(0.02)
