"""What a sweep costs beside its trials, and what ASHA saves.

    python benchmarks/sweep.py

Twenty short trials of MAML's own space on built-in characters (width 16, 60 outer steps, validation
every 20), each computing in its own process, on all cores. ``CPUs busy`` is of the whole machine
from the first trial to the last, so nothing else should run. ``training`` is the share of that time
in which trials were in their loops, and ``overhead s`` what the rest comes to for each trial.
``to best s`` is when a trial first reached the best validation accuracy of the scheduler that found
the lower one.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

import psutil
from common import Row, report
from rich.console import Console

from metaray.platform.config_io import with_overrides
from metaray.platform.sweep import runner
from metaray.platform.sweep import sweep as story
from metaray.platform.sweep.plan import make_plan
from metaray.platform.sweep.results import SweepResult

SETTINGS = [
    "model.width=16",
    "task.queries=5",
    "train.outer_steps=60",
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


@dataclass
class Stopwatch:
    """Time and work of the trials alone, without the start of Ray, the test and the page."""

    wall_s: float = 0.0
    busy_share: float = 0.0
    best_by_s: list[tuple[float, float]] = field(default_factory=list)


def timed_trials(watch: Stopwatch) -> Any:
    """``run_trials`` with a watch in the audience's place."""
    run_trials = runner.run_trials

    def timed(*args: Any, audience: Any, **options: Any) -> bool:
        started, before = perf_counter(), psutil.cpu_times()
        ended = audience.ended

        def note(number: int, state: str, metrics: dict[str, Any], reason: str | None) -> None:
            if state == "complete":
                watch.best_by_s.append((perf_counter() - started, metrics["val_accuracy"]))
            ended(number, state, metrics, reason)

        audience.ended = note
        stopped = run_trials(*args, audience=audience, **options)
        after = psutil.cpu_times()
        watch.wall_s = perf_counter() - started
        spent = sum(after) - sum(before)
        watch.busy_share = 1 - (after.idle - before.idle) / spent
        return stopped

    return timed


def run(scheduler: str, num_trials: int, folder: Path) -> tuple[SweepResult, Stopwatch]:
    plan = make_plan(
        with_overrides({}, SETTINGS),
        num_trials=num_trials,
        scheduler=scheduler,
        study_name=scheduler,
    )
    space = folder / "space.toml"
    space.write_text(SPACE)
    watch = Stopwatch()
    quiet = Console(file=(folder / f"{scheduler}.log").open("w"))
    with patch.object(runner, "run_trials", timed_trials(watch)):
        result = story.sweep(plan, space, folder / scheduler, story.Limits(), quiet)
    return result, watch


def row_of(scheduler: str, result: SweepResult, watch: Stopwatch, target: float) -> Row:
    cores = os.cpu_count() or 1
    training_s = sum(trial.duration_s or 0.0 for trial in result.trials)
    reached = [seconds for seconds, value in watch.best_by_s if value >= target]
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
