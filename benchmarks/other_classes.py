"""What adaptation to unlabelled pictures does for few-shot learning on classes never seen.

    python benchmarks/other_classes.py --out runs/other_classes

A network learns to tell drawn glyphs apart, and adapts to pictures of Omniglot's training alphabets
without their labels (``metaray transfer dann`` with ``job.target_classes=other``); or it does not
adapt. Both are tested on the same episodes of Omniglot's evaluation alphabets by the nearest
centroid, normalised by their running statistics or by those of the queries. Everything is computed
in this process on one thread. A finished cell under ``--out`` is not computed again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from common import SHARED_DATA, Row, report
from rich.console import Console

from metaray.platform import session as meta
from metaray.platform.config_io import load_config
from metaray.platform.monitor import TerminalMonitor
from metaray.platform.transfer import session
from metaray.platform.transfer.compute import compute
from metaray.platform.transfer.config_io import load_transfer_config
from metaray.platform.transfer.results import write_summary

METHODS = {"source only": "none", "DANN": "dann", "CORAL": "coral", "MMD": "mmd"}
TASKS = {"5w1s": (5, 1), "20w1s": (20, 1)}
NORMS = ("inductive", "transductive")
_GLYPHS = ["data.num_classes=200", "data.image_size=28"]
_OMNIGLOT = SHARED_DATA / "omniglot"


def adapt(folder: Path, method: str, seed: int, sets: list[str]) -> None:
    """Train a cell, without its report."""
    shutil.rmtree(folder, ignore_errors=True)  # of a benchmark that was interrupted
    monitor = TerminalMonitor(Console(), folder.name)
    domains = ["data.name=glyphs", *_GLYPHS, "target.name=omniglot", f"target.root={_OMNIGLOT}"]
    job_is = ["job.name=dann", f"job.adaptation={METHODS[method]}", "job.target_classes=other"]
    settings = [*job_is, *domains, "target.split=alphabet", f"seed={seed}", "workers.count=0"]
    config = load_transfer_config(None, [*settings, *sets])
    job = session.start(session.prepared(config, "local"), folder, "local", monitor)
    compute(job.plan, job.blueprint, job.run, job.store, monitor)
    write_summary(job.run, job.plan, job.blueprint, session.newest(job.run), {})


def test(folder: Path, encoder: Path, task: str, norm: str, episodes: int) -> None:
    """Test the encoder of a cell on episodes."""
    shutil.rmtree(folder, ignore_errors=True)
    ways, shots = TASKS[task]
    settings = [
        *("method.name=protonet", f"init.checkpoint={encoder}", "train.outer_steps=0"),
        *("data.name=omniglot", f"data.root={_OMNIGLOT}", "data.split=alphabet"),
        *(f"task.ways={ways}", f"task.shots={shots}", "task.queries=5"),
        *(f"evaluate.num_episodes={episodes}", f"evaluate.batch_norm={norm}", "workers.count=0"),
    ]
    monitor = TerminalMonitor(Console(), folder.name)
    meta.train(load_config(None, settings), folder, "local", monitor)


def row_of(method: str, task: str, norm: str, folders: list[Path]) -> Row:
    found: list[dict[str, Any]] = [
        json.loads((folder / "summary.json").read_text()) for folder in folders
    ]
    accuracies = [100 * summary["accuracy"] for summary in found]
    return {
        "method": method,
        "task": task,
        "batch norm": norm,
        "accuracy %": round(mean(accuracies), 2),
        "± over seeds": round(stdev(accuracies), 2) if len(found) > 1 else None,
        "seeds": " ".join(f"{accuracy:.1f}" for accuracy in accuracies),
        "± over episodes": round(100 * mean(summary["ci95"] for summary in found), 2),
        "episodes": found[0]["num_episodes"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=400)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--set", action="append", default=[], help="a setting of all cells")
    parser.add_argument("--out", type=Path, default=Path("runs/other_classes"))
    arguments = parser.parse_args()
    if not _OMNIGLOT.is_dir():
        raise SystemExit(f"skipped: no Omniglot at {_OMNIGLOT}")
    common = ["model.width=32", f"train.steps={arguments.steps}", *arguments.set]
    tested: dict[tuple[str, str, str], list[Path]] = {}
    for seed, method in product(range(arguments.seeds), arguments.methods):
        encoder = arguments.out / f"{method.replace(' ', '_')}-{seed}"
        if not (encoder / "summary.json").exists():
            adapt(encoder, method, seed, common)
        for task, norm in product(TASKS, NORMS):
            folder = arguments.out / f"{encoder.name}-{task}-{norm}"
            tested.setdefault((method, task, norm), []).append(folder)
            if not (folder / "summary.json").exists():
                test(folder, encoder, task, norm, arguments.episodes)
    rows = [row_of(*cell, folders) for cell, folders in tested.items()]
    report("other_classes", rows, settings=common)


if __name__ == "__main__":
    main()
