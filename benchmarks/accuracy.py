"""Accuracy on Omniglot of each method after a given processor time of training.

    python benchmarks/accuracy.py --core-minutes 20

Each cell is ``metaray train`` in one process of one thread, as many cells at once as there are
cores. A few steps are timed first, and the run gets as many as fit into the time: so schedules and
all that a method anneals come to their ends. Time is that of the processor, so what else runs on
the machine takes none of it away. A finished cell under ``--out`` is not computed again, one that
was interrupted is resumed.
The settings below replace those of the papers where a paper counts on days of training: larger
outer steps, fewer inner ones, and more queries, from which one task says more. All runs under
``--out`` go into ``results/accuracy.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import product
from pathlib import Path
from time import process_time, sleep
from typing import Any

import psutil
import torch
from common import METARAY, RESULTS, omniglot_settings, options, report

from metaray.algorithms.registry import METHODS
from metaray.platform.experiment.meta import META
from metaray.platform.run.directory import RunDirectory
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.messages import train_requests
from metaray.platform.training.meta.pool import LocalPool

TASKS = {"5w1s": (5, 1), "5w5s": (5, 5), "20w1s": (20, 1)}
_TIMED_S = 4.0
_SAMPLE_S = 1.0
CORE_SECONDS = "core_seconds"  # of the whole run, tests before and after training too

_SHORT = ["task.train_queries=5", "train.schedule=cosine"]
_STRIDED = ["model.name=conv4_strided", "train.meta_batch_size=16", "train.shard_size=8"]
SHORT_OF_TIME: dict[str, list[str]] = {
    "maml": [*_SHORT, "train.meta_lr=5e-3", "method.inner_lr=1.0"],
    "fomaml": [*_SHORT, "train.meta_lr=3e-3", "method.inner_lr=0.4"],
    "anil": [*_SHORT, "train.meta_lr=3e-3"],
    "reptile": ["method.inner_lr=4e-3"],
    "protonet": ["task.train_ways=20", "train.meta_lr=2e-3", "train.meta_batch_size=2"],
    "mamlpp": [*_SHORT, *_STRIDED, "train.meta_lr=5e-3", "method.inner_lr=0.4"],
    "metasgd": [*_SHORT, "train.meta_lr=5e-3", "method.inner_lr_high=0.5"],
    "protomaml": [*_SHORT, *_STRIDED, "train.meta_lr=5e-3"],
    "matching": [
        "method.temperature=0.1",
        "task.train_ways=20",
        "train.meta_lr=2e-3",
        "train.meta_batch_size=2",
    ],
    "relation": [*_SHORT, "train.meta_lr=2e-3", "train.meta_batch_size=4", "train.shard_size=2"],
    "siamese": ["train.meta_lr=2e-3", "train.meta_batch_size=2"],
    "mann": [*_SHORT, "train.meta_lr=2e-3", "model.width=32"],
    "snail": [*_SHORT, *_STRIDED, "train.meta_lr=1e-3", "method.width=32", "model.width=32"],
    "baseline": ["data.rotations=none", "method.batch_size=128", "train.meta_lr=3e-3"],
    "baselinepp": ["data.rotations=none", "method.batch_size=128", "train.meta_lr=3e-3"],
}
_FEWER_INNER_STEPS = {"mamlpp": ["inner_steps=3"], "protomaml": ["inner_steps=3"]}

# per cent; docs/results.md names the sources
PUBLISHED: dict[str, dict[str, float]] = {
    "maml": {"5w1s": 98.7, "5w5s": 99.9, "20w1s": 95.8},
    "fomaml": {"5w1s": 98.3, "5w5s": 99.2, "20w1s": 89.4},
    "anil": {"20w1s": 96.2},
    "reptile": {"5w1s": 97.7, "5w5s": 99.5, "20w1s": 89.4},
    "protonet": {"5w1s": 98.8, "5w5s": 99.7, "20w1s": 96.0},
    "mamlpp": {"5w1s": 99.47, "5w5s": 99.85, "20w1s": 97.65},
    "metasgd": {"5w1s": 99.53, "5w5s": 99.93, "20w1s": 95.93},
    "matching": {"5w1s": 98.1, "5w5s": 98.9, "20w1s": 93.8},
    "relation": {"5w1s": 99.6, "5w5s": 99.8, "20w1s": 97.6},
    "siamese": {"5w1s": 97.3, "5w5s": 98.4, "20w1s": 88.2},
    "mann": {"5w1s": 82.8, "5w5s": 94.9},
    "snail": {"5w1s": 99.07, "5w5s": 99.78, "20w1s": 97.64},
}


def settings(method: str, task: str, split: str, episodes: int) -> list[str]:
    ways, shots = TASKS[task]
    return [
        f"method.name={method}",
        f"task.ways={ways}",
        f"task.shots={shots}",
        *omniglot_settings(split),
        *SHORT_OF_TIME[method],
        *(f"method.{setting}" for setting in _FEWER_INNER_STEPS.get(method, [])),
        "evaluate.rotations=none",  # the same test for all: recipes differ in it
        "train.validate_episodes=60",
        f"evaluate.num_episodes={episodes}",
        "workers.count=0",
    ]


def steps_in(core_minutes: float, sets: list[str]) -> int:
    """Outer steps that one core makes in that time, from a few that are timed."""
    config = META.load(None, [*sets, "train.outer_steps=100000"])
    pool = LocalPool(Blueprint.open(config))
    pool.train_step(train_requests(0, config.train))
    started, steps = process_time(), 0
    while process_time() - started < _TIMED_S:
        steps += 1
        pool.train_step(train_requests(steps, config.train))
    return max(4, round(60 * core_minutes * steps / (process_time() - started)))


def start(folder: Path, core_minutes: float, sets: list[str]) -> list[str]:
    """The command that begins the run in ``folder``, or continues it."""
    if RunDirectory(folder).config.exists():
        return [*METARAY, "train", "--resume", str(folder)]
    steps = steps_in(core_minutes, sets)
    sets = [*sets, f"train.outer_steps={steps}", f"train.validate_every={-(-steps // 3)}"]
    shutil.rmtree(folder, ignore_errors=True)  # of one that was interrupted at its start
    folder.parent.mkdir(parents=True, exist_ok=True)
    return [*METARAY, "train", "--out", str(folder), *options(sets)]


def train(folder: Path, command: list[str]) -> None:
    run, spent = RunDirectory(folder), folder / CORE_SECONDS
    before = float(spent.read_text()) if spent.exists() else 0.0
    process = psutil.Popen(command)
    while process.poll() is None:
        if run.config.exists():
            with suppress(psutil.Error):  # it has just ended
                spent.write_text(str(before + sum(process.cpu_times()[:2])))
        sleep(_SAMPLE_S)
    if process.returncode:
        raise SystemExit(f"the run in {folder} failed")


def row_of(folder: Path) -> dict[str, Any]:
    summary = json.loads((folder / "summary.json").read_text())
    task = f"{summary['ways']}w{summary['shots']}s"
    return {
        "method": summary["method"],
        "task": task,
        "split": summary["split"],
        "accuracy %": round(100 * summary["accuracy"], 2),
        "± %": round(100 * summary["ci95"], 2),
        "published %": PUBLISHED.get(summary["method"], {}).get(task),
        "untrained %": round(100 * summary["baseline_accuracy"], 2),
        "batch norm": summary["batch_norm"],
        "test rotations": summary.get("test_rotations"),
        "core-minutes": round(float((folder / CORE_SECONDS).read_text()) / 60, 1),
        "outer steps": summary["outer_steps"],
        "tasks/s": round(summary["tasks_per_s"], 1),
        "episodes": summary["num_episodes"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--core-minutes", type=float, default=2.0, help="processor time of each cell's training"
    )
    parser.add_argument("--episodes", type=int, default=600, help="meta-test episodes")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--split", default="vinyals", choices=["vinyals", "alphabet"])
    parser.add_argument("--out", type=Path, default=Path("runs/accuracy"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    waiting = []
    for task, method in product(arguments.tasks, arguments.methods):
        folder = arguments.out / f"{method}-{arguments.split}-{task}"
        if not RunDirectory(folder).summary.exists():
            sets = settings(method, task, arguments.split, arguments.episodes)
            waiting.append((folder, start(folder, arguments.core_minutes, sets)))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in [pool.submit(train, *cell) for cell in waiting]:
            done.result()
    rows = [row_of(path.parent) for path in sorted(arguments.out.glob("*/summary.json"))]
    report("accuracy", rows)
    print(f"figures of all runs in {arguments.out}: {RESULTS / 'accuracy.json'}")


if __name__ == "__main__":
    main()
