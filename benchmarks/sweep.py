"""What a sweep costs beside its trials, and what ASHA saves.

    python benchmarks/sweep.py

Twenty short trials of MAML on built-in characters (width 16, 60 outer steps of 16 tasks, validation
every 20), each computing in its own process, on all cores. ``CPUs busy`` is of the whole machine
from the first trial to the last, so nothing else should run. ``training`` is the share of that time
in which trials were in their loops, and ``overhead s`` what the rest comes to for each trial.
``to best s`` is when a trial first ended with the best validation accuracy of the scheduler that
found the lower one.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from time import perf_counter
from unittest.mock import patch

import psutil
from common import Row, report
from rich.console import Console
from typing_extensions import Self

from metaray.platform.config.loading import with_overrides
from metaray.platform.sweep import sweep as story
from metaray.platform.sweep.outcome import Metrics
from metaray.platform.sweep.plan import make_plan
from metaray.platform.sweep.progress import SweepProgress
from metaray.platform.sweep.results import SweepResult

SETTINGS = [
    "model.width=16",
    "task.queries=5",
    "train.outer_steps=60",
    "train.meta_batch_size=16",
    "train.validate_every=20",
    "train.validate_episodes=50",
    "evaluate.num_episodes=50",
    "workers.count=0",
]
SPACE = """
[method.inner_lr]
type = "float"
low = 0.02
high = 5.0
log = true

[method.inner_steps]
type = "int"
low = 1
high = 3

[train.meta_lr]
type = "float"
low = 1e-4
high = 1e-2
log = true

[task.train_shots]
type = "int"
low = 1
high = 5
"""


class Stopwatch(SweepProgress):
    """Time and work of the trials alone, without the start of Ray, the test and the page."""

    latest: Stopwatch

    def __enter__(self) -> Self:
        Stopwatch.latest = self
        self.completed: list[tuple[float, float]] = []
        self.started_s, self._before = perf_counter(), psutil.cpu_times()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        after = psutil.cpu_times()
        self.wall_s = perf_counter() - self.started_s
        self.busy_share = 1 - (after.idle - self._before.idle) / (sum(after) - sum(self._before))
        super().__exit__(*error)

    def ended(self, number: int, state: str, metrics: Metrics, reason: str | None) -> None:
        if state == "complete":
            self.completed.append((perf_counter() - self.started_s, metrics["val_accuracy"]))
        super().ended(number, state, metrics, reason)


def run(scheduler: str, num_trials: int, folder: Path) -> tuple[SweepResult, Stopwatch]:
    plan = make_plan(
        with_overrides({}, SETTINGS),
        num_trials=num_trials,
        scheduler=scheduler,
        study_name=scheduler,
    )
    space = folder / "space.toml"
    space.write_text(SPACE)
    quiet = Console(file=(folder / f"{scheduler}.log").open("w"))
    with patch.object(story, "SweepProgress", Stopwatch):
        result = story.sweep(plan, space, folder / scheduler, story.LaunchOptions(), quiet)
    return result, Stopwatch.latest


def row_of(scheduler: str, result: SweepResult, watch: Stopwatch, target: float) -> Row:
    cores = os.cpu_count() or 1
    training_s = sum(trial.duration_s or 0.0 for trial in result.trials)
    reached = [seconds for seconds, value in watch.completed if value >= target]
    count = len(result.trials)
    return {
        "scheduler": scheduler,
        "trials": count,
        "ended early": len(result.having("pruned")),
        "wall s": watch.wall_s,
        "trials / h": 3600 * count / watch.wall_s,
        "CPUs busy": watch.busy_share,
        "training": training_s / (watch.wall_s * cores),
        "overhead s": (watch.wall_s * cores - training_s) / count,
        "best val": result.best.metrics["val_accuracy"] if result.best else None,
        "to best s": min(reached, default=None),
        "meta-test": result.test["accuracy"] if result.test else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-trials", type=int, default=20)
    num_trials = parser.parse_args().num_trials
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: run(name, num_trials, Path(folder)) for name in ("asha", "none")}
        bests = [r.best.metrics["val_accuracy"] for r, _ in runs.values() if r.best]
        rows = [row_of(name, *pair, min(bests)) for name, pair in runs.items()]
    report("sweep", rows, settings=SETTINGS)


if __name__ == "__main__":
    main()
