"""Heads on frozen features: accuracy by shots, of folders that ``metaray embed`` wrote.

``python benchmarks/heads.py features/ours features/lite0`` prints a table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from metaray.algorithms.recipes.quick import HEADS
from metaray.platform.experiment.meta import META
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.evaluation import evaluate
from metaray.platform.training.meta.pool import LocalPool

SHOTS = (1, 5, 20)
EPISODES = 600


def accuracy(folder: Path, head: str, shots: int) -> str:
    config = META.load(
        None,
        [
            "data.name=features", f"data.root={folder}", "data.split=source", "workers.count=0",
            f"task.shots={shots}", f"evaluate.num_episodes={EPISODES}", f"method.name={head}",
        ],
    )  # fmt: skip
    blueprint = Blueprint.open(config)
    found = evaluate(LocalPool(blueprint), blueprint, "test", EPISODES).headline()
    return f"{100 * found['accuracy']:.1f} ± {100 * found['ci95']:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    for folder in parser.parse_args().folders:
        for name in HEADS:
            cells = " | ".join(accuracy(folder, name, shots) for shots in SHOTS)
            print(f"| {folder.name} | {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
