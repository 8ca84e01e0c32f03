"""What it gains to choose the pictures to label: typical ones against random ones.

    python benchmarks/labelling.py features/ours features/lite0

Each argument is a folder that ``metaray embed`` wrote, of pictures whose classes are known. Of all
its pictures some are chosen without a look at the classes and get their labels, and the nearest
class mean names all others. Mean and standard deviation over five seeds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from common import Row, report

from metaray.algorithms.tasks.embedding_record import features_file
from metaray.algorithms.tasks.store import ImageStore
from metaray.algorithms.transfer.nearest_centroid import nearest_centroid
from metaray.algorithms.transfer.typical import random_examples, typical_examples

BUDGETS = (10, 40)
SEEDS = range(5)


def row(folder: Path, budget: int, choice: str) -> Row:
    store = ImageStore.open(features_file(folder))
    parts = [store.images(class_id) for class_id in range(len(store))]
    x, y = np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    classes, accuracies = [], []
    for seed in SEEDS:
        if choice == "typical":
            chosen = typical_examples(x, budget, seed=seed)
        else:
            chosen = random_examples(len(x), budget, seed=seed)
        rest = np.setdiff1d(np.arange(len(x)), chosen)
        predicted = nearest_centroid(x[chosen], y[chosen], x[rest])
        classes.append(len(set(y[chosen].tolist())))
        accuracies.append(100 * float((predicted == y[rest]).mean()))
    return {
        "features": folder.name,
        "labels": budget,
        "choice": choice,
        "classes": float(np.mean(classes)),
        "accuracy %": float(np.mean(accuracies)),
        "deviation": float(np.std(accuracies, ddof=1)),
    }


def main() -> None:
    folders = [Path(argument) for argument in sys.argv[1:]]
    if not folders:
        raise SystemExit(__doc__)
    choices = ("random", "typical")
    report("labelling", [row(f, b, c) for f in folders for b in BUDGETS for c in choices])


if __name__ == "__main__":
    main()
