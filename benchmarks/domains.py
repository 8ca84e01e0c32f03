"""Domain adaptation between USPS and MNIST: DANN, CORAL, MMD, and the two bounds.

    python benchmarks/domains.py --out runs/domains

Each cell is ``metaray transfer dann`` in one process of one thread, two of them at once. The
settings are the defaults, which are those of Ganin et al. 2016, for images of the size of USPS
and a network of 32 channels; the weights tested are the last. Of MNIST there are the 10,000
images of its test part, of which 2,000 are tested; of USPS its published parts. A tenth of what
is left of both is for validation, of the target in vain.

``--images sampled`` shows training 2,000 images of MNIST and 1,800 of USPS, drawn by the seed,
as many as in the paper whose figures are compared with. A finished cell under ``--out`` is not
computed again.
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

METHODS = {
    "DANN": ["job.adaptation=dann"],
    "source only": ["job.adaptation=none"],
    "target supervised": ["job.adaptation=none"],
    "CORAL": ["job.adaptation=coral"],
    "MMD": ["job.adaptation=mmd"],
}
OTHER = {"usps": "mnist", "mnist": "usps"}
# the size of USPS, and a network that such images fill
SETTINGS = ["data.image_size=16", "model.width=32"]
SAMPLED = {"mnist": 2000, "usps": 1800}
# Tzeng et al., CVPR 2017 (arXiv 1702.05464), table 2
PUBLISHED = {
    ("usps", "source only"): "57.1 ± 1.7",
    ("mnist", "source only"): "75.2 ± 1.6",
    ("usps", "DANN"): "73.0 ± 2.0",
    ("mnist", "DANN"): "77.1 ± 1.8",
}
_TEST_OF_MNIST = 2000


def write_digits(folder: Path, drawn: str, seed: int) -> None:
    """``NAME/train.npz`` and ``NAME/test.npz`` of both sets; which are which, the seed decides."""
    digits = SHARED_DATA / "digits"
    if not digits.is_dir():
        raise SystemExit(f"skipped: no digits at {digits}")
    rng = np.random.default_rng(seed)
    with np.load(digits / "mnist_t10k.npz") as arrays:
        order = rng.permutation(len(arrays["labels"]))
        test, train = order[:_TEST_OF_MNIST], order[_TEST_OF_MNIST:]
        parts = {("mnist", "train"): (arrays, train), ("mnist", "test"): (arrays, test)}
        parts = {key: (a["images"][at], a["labels"][at]) for key, (a, at) in parts.items()}
    for part in ("train", "test"):
        with np.load(digits / f"usps_{part}.npz") as arrays:
            parts["usps", part] = arrays["images"], arrays["labels"]
    for (name, part), (images, labels) in parts.items():
        kept = len(labels)
        if drawn == "sampled" and part == "train":
            kept = SAMPLED[name]
        at = rng.permutation(len(labels))[:kept]
        path = folder / name / f"{part}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, images=images[at], labels=labels[at])


def folder_of(out: Path, source: str, method: str, seed: int) -> Path:
    return out / f"{source}-{method.replace(' ', '_')}-{seed}"


def settings(method: str, source: str, seed: int, digits: Path) -> list[str]:
    target = OTHER[source]
    if method == "target supervised":
        source = target
    domains = (("data", source), ("target", target))
    return [
        *(f"{section}.name=arrays" for section, _ in domains),
        *(f"{section}.root={digits / name}" for section, name in domains),
        *METHODS[method],
        f"seed={seed}",
        "workers.count=0",
    ]


def row_of(source: str, method: str, folders: list[Path]) -> Row:
    found: list[dict[str, Any]] = [
        json.loads((folder / "summary.json").read_text()) for folder in folders
    ]
    accuracies = [100 * summary["accuracy"] for summary in found]
    return {
        "from": source,
        "to": OTHER[source],
        "method": method,
        "accuracy %": round(mean(accuracies), 2),
        "± over seeds": round(stdev(accuracies), 2) if len(found) > 1 else None,
        "seeds": " ".join(f"{accuracy:.1f}" for accuracy in accuracies),
        "published %": PUBLISHED.get((source, method)),
        "steps": found[0]["steps"],
        "minutes": round(mean(summary["wall_s"] for summary in found) / 60, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", choices=["all", "sampled"], default="all")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--source", nargs="*", default=["usps", "mnist"], choices=["usps", "mnist"])
    parser.add_argument("--set", action="append", default=[], help="a setting of all cells")
    parser.add_argument("--name", default="domains", help="of the file of results")
    parser.add_argument(
        "--finished", action="store_true", help="report what is there, train nothing"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/domains"))
    arguments = parser.parse_args()
    common = [*SETTINGS, f"train.steps={arguments.steps}", *arguments.set]
    seeds = range(arguments.seeds)
    cells = []
    for method, seed, source in product(arguments.methods, seeds, arguments.source):
        digits = (arguments.out / f"digits-{seed}").absolute()
        if not digits.exists():
            write_digits(digits, arguments.images, seed)
        sets = ("job.name=dann", *settings(method, source, seed, digits), *common)
        cells.append(Cell(folder_of(arguments.out, source, method, seed), sets))
    if not arguments.finished:
        run(cells)
    rows = []
    for source, method in product(arguments.source, arguments.methods):
        folders = [folder_of(arguments.out, source, method, seed) for seed in seeds]
        if done := [folder for folder in folders if (folder / "summary.json").exists()]:
            rows.append(row_of(source, method, done))
    report(arguments.name, rows, images=arguments.images, settings=common)


if __name__ == "__main__":
    main()
