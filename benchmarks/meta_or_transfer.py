"""Meta-learning beside transfer at 1 to 50 labels per class, by ``metaray compare``.

    python benchmarks/meta_or_transfer.py --out runs/meta_or_transfer

The ten classes of the CIFAR-10 images are divided into five to train on, one that nothing is
chosen by, and four for the test (``random`` split, seed 0). ProtoNet is meta-trained on
episodes of the five; MoCo and a supervised network learn from the same images as mini-batches,
and their encoders are then tested without meta-training. All networks have four blocks of 32
channels, images have 16 pixels, and every test is on the same 4-way episodes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
from cells import Cell, run
from common import METARAY, SHARED_DATA, Row, report

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.tasks.catalog import DATASETS, open_store
from metaray.algorithms.tasks.dataset import ClassLists, ImageDataset

ARCHIVE = SHARED_DATA / "cifar10_images.zip"
DATA = {"name": "folder", "root": str(ARCHIVE), "image_size": 16}
SHARES = (0.5, 0.1, 0.4)
SHOTS = (1, 5, 10, 20, 50)
META = ("protonet",)
ENTRIES = {
    "moco_centroid": ("moco", "protonet"),
    "moco_linear": ("moco", "baseline"),
    "supervised_centroid": ("supervised", "protonet"),
    "supervised_linear": ("supervised", "baseline"),
}


def write_training_classes(path: Path) -> None:
    """All images of the classes that are trained on, as arrays."""
    config = DataConfig.model_validate(DATA | {"split_ratio": SHARES})
    dataset = DATASETS["folder"]
    assert isinstance(dataset, ImageDataset)
    store = open_store(dataset, config)
    names = store.header.class_names
    classes = dataset.split(ClassLists(names, store.header.class_groups), config)["train"]
    print("training classes:", ", ".join(names[c] for c in classes))
    images = [store.images(c).transpose(0, 2, 3, 1) for c in classes]  # colours last
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        images=np.concatenate(images),
        labels=np.repeat(np.arange(len(classes)), [len(i) for i in images]),
    )


def encoders(out: Path, steps: dict[str, int]) -> dict[str, Cell]:
    """MoCo and a supervised network on the training classes."""
    arrays = out / "classes.npz"
    if not arrays.exists():
        write_training_classes(arrays)
    common = (
        "data.name=arrays",
        f"data.root={arrays}",
        "data.image_size=16",
        "data.division=random",
        "data.test_share=0.1",
        "model.width=32",
        "workers.count=0",
    )
    jobs = {
        "moco": (
            "job.name=moco",
            "train.batch_size=128",
            "train.shard_size=128",
            "train.lr=0.1",
            "train.validate_every=0",
        ),
        "supervised": ("job.name=finetune", "train.lr=0.05"),
    }
    return {
        name: Cell(out / name, (*common, *sets, f"train.steps={steps[name]}"))
        for name, sets in jobs.items()
    }


def entry_files(out: Path, cells: dict[str, Cell]) -> list[str]:
    """A config file for each entry that is an encoder."""
    files = []
    for name, (encoder, method) in ENTRIES.items():
        file = out / f"{name}.toml"
        file.write_text(
            f'method.name = "{method}"\ninit.checkpoint = "{cells[encoder].folder.absolute()}"\n'
            "train.outer_steps = 0\n"
        )
        files.append(str(file))
    return files


def row_of(name: str, folder: Path) -> Row:
    """Accuracy by shots over all seeds, with a 95 % interval over their episodes."""
    seeds = sorted(folder.glob("seed*"))
    curves = [json.loads((seed / "measures.json").read_text())["curve"] for seed in seeds]
    row: Row = {"entry": name}
    for k in SHOTS:
        points = [point for curve in curves for point in curve if point["shots"] == k]
        mean = sum(point["score"] for point in points) / len(points)
        half = sum(point["ci95"] ** 2 for point in points) ** 0.5 / len(points)
        row[f"{k}-shot %"] = f"{100 * mean:.1f} ± {100 * half:.1f}"
    summaries = [json.loads((seed / "summary.json").read_text()) for seed in seeds]
    row["minutes"] = round(sum(s["wall_s"] for s in summaries) / 60 / len(seeds), 1)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=150, help="outer steps of meta-training")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--moco-steps", type=int, default=160, help="128 images each")
    parser.add_argument("--supervised-steps", type=int, default=320, help="64 images each")
    parser.add_argument("--episodes", type=int, default=40, help="of each seed, at each shot")
    parser.add_argument("--out", type=Path, default=Path("runs/meta_or_transfer"))
    arguments = parser.parse_args()
    out = arguments.out
    pretraining = {"moco": arguments.moco_steps, "supervised": arguments.supervised_steps}
    cells = encoders(out, pretraining)
    run(list(cells.values()))
    common = [
        *(f"data.{key}={value}" for key, value in DATA.items()),
        f"data.split_ratio={list(SHARES)}",
        "model.width=32",
        "data.channels=3",
        "task.ways=4",
        "task.shots=5",
        "train.validate_every=0",
        "evaluate.num_episodes=60",
        "evaluate.batch_norm=inductive",
    ]
    shutil.rmtree(out / "compare", ignore_errors=True)
    words = [*METARAY, "compare", *entry_files(out, cells)]
    words += ["--methods", ",".join(META), "--steps", str(arguments.steps)]
    words += ["--seeds", str(arguments.seeds), "--shots", ",".join(map(str, SHOTS))]
    words += ["--ways", "4", "--curve-episodes", str(arguments.episodes)]
    words += ["--out", str(out / "compare"), "--parallel", "2"]
    subprocess.run([*words, *(p for item in common for p in ("--set", item))], check=True)
    names = [*ENTRIES, *META]
    rows = [row_of(name, out / "compare" / "runs" / name) for name in names]
    minutes = {name: round(cell.core_minutes, 2) for name, cell in cells.items()}
    report(
        "meta_or_transfer",
        rows,
        steps=arguments.steps,
        seeds=arguments.seeds,
        steps_of_encoders=pretraining,
        core_minutes_of_encoders=minutes,
        episodes_per_seed=arguments.episodes,
        settings=[item for item in common if not item.startswith("data.root")],
    )


if __name__ == "__main__":
    main()
