"""What SimCLR and MoCo learn from images without labels, beside a supervised encoder and none.

    python benchmarks/self_supervision.py --steps 160 --out runs/self_supervision

The encoders are four blocks of 16 channels on the CIFAR-10 images (9,000 to train on, 4,000 to
test), and each is judged by the same linear classifier of its features (logistic regression on all
training images), and by k nearest neighbours. ``random`` is where all of them start. SimCLR and
MoCo see 128 images in a step, the supervised network as many images in all, 64 in a step.
Settings are the defaults of each job, but for those below, which suit few steps.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cells import Cell, cifar10, run
from common import Row, report

WIDTH = "model.width=16"
BATCH = 128
_OF_BATCH = [f"train.batch_size={BATCH}", f"train.shard_size={BATCH}", "train.validate_every=0"]
TRAININGS = {
    "simclr": ["job.name=simclr", *_OF_BATCH],
    "moco": ["job.name=moco", *_OF_BATCH, "train.lr=0.1"],
    "supervised": ["job.name=finetune", "train.lr=0.05"],
}


def training(folder: Path, name: str, steps: int, further: list[str]) -> Cell:
    own = steps if name != "supervised" else steps * BATCH // 64
    return Cell(folder / name, cifar10(WIDTH, *TRAININGS[name], f"train.steps={own}", *further))


def probe(encoder: Cell) -> Cell:
    """The features of ``encoder`` before a single step of SimCLR, which is of no interest."""
    sets = ["job.name=simclr", f"init.checkpoint={encoder.folder}", "train.steps=1"]
    folder = encoder.folder.with_name(f"{encoder.folder.name}-probe")
    return Cell(folder, cifar10(*sets, "train.validate_every=0"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=160, help="of SimCLR and MoCo")
    parser.add_argument("--set", action="append", default=[], help="a setting of all trainings")
    parser.add_argument("--out", type=Path, default=Path("runs/self_supervision"))
    arguments = parser.parse_args()
    cells = {
        name: training(arguments.out, name, arguments.steps, arguments.set) for name in TRAININGS
    }
    run([*cells.values()])
    probed = probe(cells["supervised"])
    run([probed])
    simclr, moco, supervised = (cells[name].summary for name in TRAININGS)
    found = {
        "random": (simclr["before"], None, 0, 0.0),
        "SimCLR": (simclr, simclr["probes"]["knn_probe"], simclr["steps"], cells["simclr"]),
        "MoCo v2": (moco, moco["probes"]["knn_probe"], moco["steps"], cells["moco"]),
        "supervised": (probed.summary["before"], None, supervised["steps"], cells["supervised"]),
    }
    rows: list[Row] = [
        {
            "encoder": name,
            "linear probe %": round(100 * linear["accuracy"], 2),
            "± %": round(100 * linear["ci95"], 2),
            "k-NN %": None if knn is None else round(100 * knn["accuracy"], 2),
            "steps": steps,
            "core-minutes": round(cell.core_minutes, 1) if isinstance(cell, Cell) else cell,
        }
        for name, (linear, knn, steps, cell) in found.items()
    ]
    report(
        "self_supervision",
        rows,
        batch_size=BATCH,
        settings=arguments.set,
        supervised_test_accuracy=supervised["accuracy"],
    )


if __name__ == "__main__":
    main()
