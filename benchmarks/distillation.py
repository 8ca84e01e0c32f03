"""A small network that learns from a large one, beside the same network without a teacher.

    python benchmarks/distillation.py --out runs/distillation

USPS (6,564 images to train on, 2,007 to test) at 16 pixels. Both networks are four blocks that
leave a map of 4 x 4; the teacher has 32 channels and is trained on all labels, the student has 4.
Its settings are those of the teacher but for the loss. In the second part it has 20 labels of each
class, and the teacher tells it of the other images: what was learned from all labels comes to it
without them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cells import Cell, digits, over_seeds, run
from common import Row, report

_TRAINING = (
    "model.name=conv4_map",
    "train.lr=0.05",
    "train.weight_decay=5e-4",
    "evaluate.checkpoint=last",
    "train.validate_every=0",
    "train.checkpoint_every=5000",
)
_STUDENT = (*_TRAINING, "model.width=4")
ALONE = "alone"
TERMS = {
    "response": ["job.soft_weight=0.9", "job.label_weight=0.1"],
    "hints": ["job.soft_weight=0", "job.label_weight=1", "job.hint_weight=1"],
    "attention, weight 100": [
        "job.soft_weight=0",
        "job.label_weight=1",
        "job.attention_weight=100",
    ],
}
FEW = 20
WITHOUT_LABELS = ["job.soft_weight=1", "job.label_weight=0"]


def student(out: Path, name: str, teacher: Cell, seed: int, steps: int, *sets: str) -> Cell:
    job = "finetune" if name.startswith(ALONE) else "distill"
    taught = [] if job == "finetune" else [f"job.teacher={teacher.folder}"]
    common = (f"job.name={job}", f"seed={seed}", f"train.steps={steps}", *_STUDENT)
    folder = out / f"{name.replace(' ', '_')}-{steps}-{seed}"
    return Cell(folder, digits("usps_*.npz", *common, *taught, *sets))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=600, help="of both, 64 images each")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/distillation"))
    arguments = parser.parse_args()
    out, steps = arguments.out, arguments.steps
    large = ("job.name=finetune", "model.width=32", f"train.steps={steps}")
    teacher = Cell(out / "teacher", digits("usps_*.npz", *large, *_TRAINING))
    run([teacher])
    few = f"data.labels_per_class={FEW}"
    settings = {
        ALONE: [],
        **TERMS,
        f"alone, {FEW} labels per class": [few],
        f"response, {FEW} labels per class": [few, *WITHOUT_LABELS],
    }
    cells = {
        name: [student(out, name, teacher, seed, steps, *sets) for seed in range(arguments.seeds)]
        for name, sets in settings.items()
    }
    run([cell for of_seed in zip(*cells.values(), strict=True) for cell in of_seed])
    rows: list[Row] = [{"student": name} | over_seeds(found) for name, found in cells.items()]
    report(
        "distillation",
        rows,
        steps=steps,
        seeds=arguments.seeds,
        teacher=over_seeds([teacher]),
        settings={name: list(sets) for name, sets in settings.items()},
        common=list(_STUDENT),
    )


if __name__ == "__main__":
    main()
