"""Accuracy on Omniglot of each method, on two splits, after a given time of training.

    python benchmarks/accuracy.py --minutes 20 --methods maml --splits vinyals --shots 1

Each cell is ``metaray train`` with ``train.time_budget_s``: on two workers, or ``--in-process``,
on one core each, and as many cells at once as there are cores. A run directory stays under
``--out`` and is not computed again. The settings below replace those of the papers where a paper
counts on days of training: larger outer steps, and more queries, from which one task says more.
All runs under ``--out`` go into ``results/accuracy.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

from common import RESULTS, omniglot_settings, report

from metaray.algorithms.registry import METHODS

SHORT_OF_TIME: dict[str, list[str]] = {
    "maml": ["train.meta_lr=5e-3", "method.inner_lr=1.0", "task.train_queries=5"],
    "fomaml": ["train.meta_lr=3e-3", "method.inner_lr=0.4", "task.train_queries=5"],
    "anil": ["train.meta_lr=3e-3", "task.train_queries=5"],
    "reptile": [],
    "protonet": ["task.train_ways=20", "train.meta_lr=2e-3", "train.meta_batch_size=2"],
    "matching": [
        "method.temperature=0.1",
        "task.train_ways=20",
        "train.meta_lr=2e-3",
        "train.meta_batch_size=2",
    ],
    "relation": [],
    "siamese": ["train.meta_lr=2e-3", "train.meta_batch_size=2"],
}

# per cent, 5-way 1-shot and 5-shot; the sources are in docs/results.md
PUBLISHED = {
    "maml": {1: 98.7, 5: 99.9},
    "fomaml": {1: 98.3, 5: 99.2},
    "anil": {1: None, 5: None},
    "reptile": {1: 97.7, 5: 99.5},
    "protonet": {1: 98.8, 5: 99.7},
    "matching": {1: 98.1, 5: 98.9},
    "relation": {1: 99.6, 5: 99.8},
    "siamese": {1: 97.3, 5: 98.4},
}


def train(
    folder: Path, method: str, split: str, shots: int, minutes: float, episodes: int, workers: int
) -> None:
    sets = [
        f"method.name={method}",
        f"task.shots={shots}",
        *omniglot_settings(split),
        *SHORT_OF_TIME[method],
        f"train.time_budget_s={60 * minutes}",
        "train.outer_steps=1000000",
        "train.validate_every=250",
        "train.validate_episodes=100",
        "train.checkpoint_every=1000",
        f"evaluate.num_episodes={episodes}",
        f"workers.count={workers}",
    ]
    if method in ("maml", "reptile", "protonet"):
        sets.append("train.schedule=constant")
    options = [part for item in sets for part in ("--set", item)]
    command = "from metaray.platform.cli.main import run; run()"
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", command, "train", "--out", str(folder), *options],
        check=True,
    )


def row_of(folder: Path) -> dict[str, Any]:
    summary = json.loads((folder / "summary.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    published = PUBLISHED[summary["method"]][summary["shots"]]
    return {
        "method": summary["method"],
        "split": summary["split"],
        "shots": summary["shots"],
        "accuracy %": round(100 * summary["accuracy"], 2),
        "± %": round(100 * summary["ci95"], 2),
        "published %": published,
        "untrained %": round(100 * summary["baseline_accuracy"], 2),
        "batch norm": summary["batch_norm"],
        "minutes": round(config["train"]["time_budget_s"] / 60, 1),
        "cores": max(1, config["workers"]["count"]),
        "outer steps": summary["outer_steps"],
        "tasks/s": round(summary["tasks_per_s"], 1),
        "episodes": summary["num_episodes"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="training time of each cell")
    parser.add_argument("--episodes", type=int, default=600, help="meta-test episodes")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--splits", nargs="*", default=["vinyals", "alphabet"])
    parser.add_argument("--shots", nargs="*", type=int, default=[1, 5])
    parser.add_argument("--out", type=Path, default=Path("runs/accuracy"))
    parser.add_argument("--in-process", action="store_true", help="one core a cell, without Ray")
    arguments = parser.parse_args()
    workers, at_once = (0, os.cpu_count() or 1) if arguments.in_process else (2, 1)

    def cell(split: str, shots: int, method: str) -> None:
        folder = arguments.out / f"{method}-{split}-{shots}shot"
        if not (folder / "summary.json").exists():
            minutes, episodes = arguments.minutes, arguments.episodes
            train(folder, method, split, shots, minutes, episodes, workers)

    with ThreadPoolExecutor(at_once) as pool:
        cells = product(arguments.splits, arguments.shots, arguments.methods)
        for done in [pool.submit(cell, *one) for one in cells]:
            done.result()
    rows = [row_of(path.parent) for path in sorted(arguments.out.glob("*/summary.json"))]
    report("accuracy", rows)
    print(f"figures of all runs in {arguments.out}: {RESULTS / 'accuracy.json'}")


if __name__ == "__main__":
    main()
