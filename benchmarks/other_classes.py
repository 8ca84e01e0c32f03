"""What adaptation to unlabelled images does for few-shot learning on classes never seen.

    python benchmarks/other_classes.py --out runs/other_classes

A network learns to tell drawn glyphs apart (source only). Then it trains for as many steps again:
without adaptation, or adapting to images of Omniglot's training alphabets without their labels
(``metaray transfer dann`` with ``job.target_classes=other``). All are tested on the same episodes
of Omniglot's evaluation alphabets by the nearest centroid of their features. The network has 32
channels, and Adam learns the glyphs in few steps, where the SGD of the paper barely begins to:
chosen by accuracy on glyphs, and nothing by Omniglot. Everything is computed in this process on one
thread; a finished cell under ``--out`` is not computed again.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from cells import Cell, run
from common import SHARED_DATA, Row, report

from metaray.platform.experiment.meta import META
from metaray.platform.experiment.meta_data import open_data
from metaray.platform.experiment.meta_state import flat_state, pretrained_state
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.evaluation import evaluate
from metaray.platform.training.meta.pool import LocalPool

START, ALONE = "source only", "source only, continued"
METHODS = {START: "none", ALONE: "none", "DANN": "dann", "CORAL": "coral", "MMD": "mmd"}
TASKS = {"5w1s": (5, 1), "5w5s": (5, 5), "20w1s": (20, 1)}
SETTINGS = [
    "model.width=32",
    "train.optimizer=adam",
    "train.lr=1e-3",
    "train.schedule=cosine",
]
FEW_SHOT = "few_shot.json"
_OMNIGLOT = SHARED_DATA / "omniglot"

Scores = dict[str, list[float]]


def folder_of(out: Path, method: str, seed: int) -> Path:
    return out / f"{method.replace(', ', '_').replace(' ', '_')}-{seed}"


def adapt(folder: Path, method: str, seed: int, sets: list[str]) -> None:
    """Train a cell, unless it is there."""
    glyphs = ["data.name=glyphs"]
    omniglot = ["target.name=omniglot", f"target.root={_OMNIGLOT}", "target.split=alphabet"]
    job_is = ["job.name=dann", f"job.adaptation={METHODS[method]}", "job.target_classes=other"]
    settings = [*job_is, *glyphs, *omniglot, f"seed={seed}", "workers.count=0", *sets]
    if method != START:
        settings.append(f"init.checkpoint={folder_of(folder.parent, START, seed)}")
    run([Cell(folder, tuple(settings))])


def few_shot(encoder: Path, episodes: int) -> dict[str, Scores]:
    """Accuracy in each episode of each task, of the encoder and of its network untrained."""
    found: dict[str, Scores] = {}
    for task, (ways, shots) in TASKS.items():
        settings = [
            *("method.name=protonet", f"init.checkpoint={encoder}", "train.outer_steps=0"),
            *("data.name=omniglot", f"data.root={_OMNIGLOT}", "data.split=alphabet"),
            *(f"task.ways={ways}", f"task.shots={shots}", "task.queries=5", "workers.count=0"),
        ]
        config = META.load(None, settings)
        source = open_data(config)
        blueprint = Blueprint(config, source)
        pool = LocalPool(blueprint)
        started = pretrained_state(blueprint)
        assert started is not None  # the settings name a run
        states = {"encoder": flat_state(started[0]), "untrained": blueprint.initial_flat}
        found[task] = {
            name: evaluate(pool, blueprint, "test", episodes, state).score_by_step[:, -1].tolist()
            for name, state in states.items()
        }
    return found


def row_of(method: str, folders: list[Path]) -> Row:
    found: list[dict[str, Scores]] = [json.loads((f / FEW_SHOT).read_text()) for f in folders]
    row: Row = {"method": method, "seeds": len(found)}
    for task in TASKS:
        which = "untrained" if method == "untrained" else "encoder"
        scores = [100 * mean(cell[task][which]) for cell in found]
        spread = f" ± {stdev(scores):.2f}" if len(scores) > 1 else ""
        row[f"{task} %"] = f"{mean(scores):.2f}{spread}"
    return row


def gain_of(method: str, cells: dict[str, list[Path]]) -> Row:
    """Over training without it, on the same episodes: mean and 95 % interval of differences."""
    row: Row = {"method": f"{method} - {ALONE}", "seeds": len(cells[method])}
    for task in TASKS:
        pairs: list[Any] = [
            [json.loads((f / FEW_SHOT).read_text())[task]["encoder"] for f in pair]
            for pair in zip(cells[method], cells[ALONE], strict=True)
        ]
        differences = 100 * np.array([np.subtract(mine, theirs) for mine, theirs in pairs]).ravel()
        half = 1.96 * differences.std(ddof=1) / len(differences) ** 0.5
        row[f"{task} %"] = f"{differences.mean():+.2f} ± {half:.2f}"
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=200)
    adapted = list(METHODS)[2:]
    parser.add_argument("--methods", nargs="*", default=adapted, choices=adapted)
    parser.add_argument("--set", action="append", default=[], help="a setting of all cells")
    parser.add_argument("--out", type=Path, default=Path("runs/other_classes"))
    arguments = parser.parse_args()
    if not _OMNIGLOT.is_dir():
        raise SystemExit(f"skipped: no Omniglot at {_OMNIGLOT}")
    common = [*SETTINGS, f"train.steps={arguments.steps}", *arguments.set]
    cells: dict[str, list[Path]] = {}
    for seed, method in product(range(arguments.seeds), (START, ALONE, *arguments.methods)):
        folder = folder_of(arguments.out, method, seed)
        cells.setdefault(method, []).append(folder)
        adapt(folder, method, seed, common)
        if not (folder / FEW_SHOT).exists():
            found = few_shot(folder, arguments.episodes)
            (folder / FEW_SHOT).write_text(json.dumps(found))
    rows = [row_of(method, folders) for method, folders in cells.items()]
    rows.append(row_of("untrained", next(iter(cells.values()))))
    rows += [gain_of(method, cells) for method in cells if method not in (START, ALONE)]
    report("other_classes", rows, settings=common, episodes=arguments.episodes)


if __name__ == "__main__":
    main()
