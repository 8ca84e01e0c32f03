"""Transfer jobs of a benchmark: each in one thread, two at once, and none that is done again."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from time import process_time
from typing import Any

from common import SHARED_DATA
from rich.console import Console
from scipy.stats import t

from metaray.platform.callbacks.terminal import Terminal

_AT_ONCE = 2
_CORE_SECONDS = "core_seconds"  # of all of the job, tests too


@dataclass(frozen=True)
class Cell:
    """A job, and where it goes. Without a test it is trained alone."""

    folder: Path
    sets: tuple[str, ...]
    tested: bool = True

    @property
    def is_done(self) -> bool:
        """Whether it ran to its end."""
        return (self.folder / ("summary.json" if self.tested else _CORE_SECONDS)).exists()

    @property
    def summary(self) -> dict[str, Any]:
        """What it found."""
        found: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return found

    @property
    def core_minutes(self) -> float:
        """What it took."""
        return float((self.folder / _CORE_SECONDS).read_text()) / 60


def cifar10(*sets: str) -> tuple[str, ...]:
    """Settings of a job on the CIFAR-10 images, or exit when they are not there."""
    root = SHARED_DATA / "cifar10_images.zip"
    if not root.is_file():
        raise SystemExit(f"skipped: no images at {root}")
    data = ("data.name=folder", f"data.root={root}", "data.image_size=32", "workers.count=0")
    return (*data, *sets)


def digits(files: str, *sets: str) -> tuple[str, ...]:
    """Settings of a job on ``files`` of the digits at 16 pixels, or exit without them."""
    root = SHARED_DATA / "digits"
    if not root.is_dir():
        raise SystemExit(f"skipped: no digits at {root}")
    data = ("data.name=arrays", f"data.root={root / files}", "data.image_size=16")
    return (*data, "workers.count=0", *sets)


def run(cells: Sequence[Cell]) -> None:
    """All of ``cells``, those that are done already left out."""
    waiting = [cell for cell in cells if not cell.is_done]
    with ProcessPoolExecutor(_AT_ONCE, multiprocessing.get_context("spawn")) as pool:
        for cell in pool.map(_compute, waiting):
            print(f"{cell.folder}: {cell.core_minutes:.2f} core-minutes", flush=True)


def interval(values: Sequence[float]) -> float | None:
    """Half a 95 % interval of the mean over seeds (Student's t); None for one seed."""
    if len(values) < 2:
        return None
    return float(t.ppf(0.975, len(values) - 1) * stdev(values) / len(values) ** 0.5)


def over_seeds(cells: Sequence[Cell]) -> dict[str, Any]:
    """Test accuracy of the same job under several seeds, in percent."""
    found = [100 * cell.summary["accuracy"] for cell in cells]
    half = interval(found)
    return {
        "accuracy %": round(mean(found), 2),
        "± % over seeds": None if half is None else round(half, 2),
        "of each seed": " ".join(f"{value:.2f}" for value in found),
        "core-minutes": round(mean(cell.core_minutes for cell in cells), 2),
    }


def _compute(cell: Cell) -> Cell:
    """In this process, without a terminal."""
    from metaray.platform.experiment import runner
    from metaray.platform.experiment.transfer import TRANSFER

    shutil.rmtree(cell.folder, ignore_errors=True)  # of a benchmark that was interrupted
    config = TRANSFER.load(None, cell.sets)
    quiet, before = [Terminal(Console(quiet=True))], process_time()
    if cell.tested:
        runner.new(config, cell.folder, "local", quiet)
    else:
        runner.fit(config, cell.folder, "local", quiet)
    (cell.folder / _CORE_SECONDS).write_text(str(process_time() - before))
    return cell
