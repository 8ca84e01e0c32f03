"""A large meta-learned embedding distilled into a small one, tested few-shot.

    python benchmarks/embedding_distillation.py --out runs/embedding_distillation

The teacher is a ProtoNet of four blocks of 64 channels on Omniglot (Vinyals split), the student has
8 channels and embeds in 8 dimensions. It learns from the images of the 1,028 training characters,
without their labels, to embed as the teacher does; beside it stands the same network meta-trained
on labelled episodes for as many images or more. All are tested as ProtoNets on the same episodes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean
from time import process_time
from typing import Any

import numpy as np
from cells import Cell, interval, run
from common import Row, omniglot_settings, report
from rich.console import Console

from metaray.algorithms.tasks.catalog import build_source
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.experiment import runner
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.results import read_summary
from metaray.platform.run.directory import RunDirectory

SHOTS = (1, 5)
TERMS = {
    "distilled: hints": ["job.hint_weight=1"],
    "distilled: similarity": ["job.similarity_weight=3000"],
    "distilled: both": ["job.hint_weight=1", "job.similarity_weight=3000"],
}
_SMALL = "model.width=8"


def meta_trained(folder: Path, steps: int, *sets: str) -> tuple[dict[str, Any], float]:
    """The summary of ``metaray train``, and core-minutes; a run that is there is not repeated."""
    done, taken = read_summary(RunDirectory(folder)), folder / "core_seconds"
    if done is None:
        before = process_time()
        common = [
            "method.name=protonet",
            *omniglot_settings("vinyals"),
            f"train.outer_steps={steps}",
            "train.validate_every=0",
            "evaluate.num_episodes=300",
            "workers.count=0",
        ]
        config = META.load(None, [*common, *sets])
        done = runner.new(config, folder, "local", [Terminal(Console(quiet=True))])
        taken.write_text(str(process_time() - before))
    return done, float(taken.read_text()) / 60


def few_shot(out: Path, encoder: Path) -> list[float]:
    """Accuracies of an encoder at each number of shots, in percent, without training it."""
    found = []
    for shots in SHOTS:
        folder = out / "tests" / f"{encoder.name}-{shots}"
        summary, _ = meta_trained(folder, 0, f"init.checkpoint={encoder}", f"task.shots={shots}")
        found.append(100 * summary["accuracy"])
    return found


def write_images(path: Path) -> None:
    """The images of the training characters as arrays."""
    config = META.load(None, [*omniglot_settings("vinyals"), "method.name=protonet"])
    source: Any = build_source(config.data)
    classes = source.splits["train"]
    images = [source.store.images(c).transpose(0, 2, 3, 1) for c in classes]
    labels = np.repeat(np.arange(len(classes)), [len(i) for i in images])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, images=np.concatenate(images)[..., 0], labels=labels)


def student(out: Path, name: str, teacher: Path, seed: int, steps: int) -> Cell:
    sets = (
        "job.name=distill",
        f"job.teacher={teacher}",
        "job.soft_weight=0",
        "job.label_weight=0",
        *TERMS[name],
        "data.name=arrays",
        f"data.root={out / 'images.npz'}",
        "data.division=random",
        "data.test_share=0.05",
        "data.val_share=0.05",
        _SMALL,
        f"seed={seed}",
        f"train.steps={steps}",
        *("train.optimizer=adam", "train.lr=2e-3"),  # as the student that learns alone
        "train.validate_every=0",
        "train.checkpoint_every=5000",
        "workers.count=0",
    )
    folder = out / f"{name.replace(': ', '_')}-{seed}"
    return Cell(folder, sets, tested=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teacher-steps", type=int, default=500, help="of two 20-way episodes")
    parser.add_argument("--alone-steps", type=int, default=500, help="likewise, of the student")
    parser.add_argument("--steps", type=int, default=2000, help="of distillation, 64 images each")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/embedding_distillation"))
    arguments = parser.parse_args()
    out, seeds = arguments.out.absolute(), range(arguments.seeds)
    episodes = ("task.train_ways=20", "train.meta_lr=2e-3", "train.meta_batch_size=2")
    _, minutes = meta_trained(out / "teacher", arguments.teacher_steps, *episodes)
    if not (out / "images.npz").exists():
        write_images(out / "images.npz")
    cells = {
        name: [student(out, name, out / "teacher", seed, arguments.steps) for seed in seeds]
        for name in TERMS
    }
    run([cell for of_seed in zip(*cells.values(), strict=True) for cell in of_seed])
    alone = [
        meta_trained(
            out / f"alone-{seed}", arguments.alone_steps, *episodes, _SMALL, f"seed={seed}"
        )[1]
        for seed in seeds
    ]
    kinds: dict[str, tuple[list[Path], float]] = {
        "teacher, 64 channels": ([out / "teacher"], minutes),
        "ProtoNet, 8 channels": ([out / f"alone-{seed}" for seed in seeds], mean(alone)),
    }
    for name, found in cells.items():
        of_cells = [cell.core_minutes for cell in found]
        kinds[name] = ([cell.folder for cell in found], mean(of_cells))
    rows = []
    for name, (encoders, core_minutes) in kinds.items():
        tested = [few_shot(out, encoder) for encoder in encoders]
        row: Row = {"encoder": name}
        for shots, values in zip(SHOTS, zip(*tested, strict=True), strict=True):
            row[f"5-way {shots}-shot %"] = round(mean(values), 2)
            half = interval(values)
            row[f"± % over seeds, {shots}-shot"] = None if half is None else round(half, 2)
        rows.append(row | {"core-minutes": round(core_minutes, 2)})
    report(
        "embedding_distillation",
        rows,
        teacher_steps=arguments.teacher_steps,
        alone_steps=arguments.alone_steps,
        steps=arguments.steps,
        seeds=arguments.seeds,
    )


if __name__ == "__main__":
    main()
