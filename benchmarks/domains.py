"""Domain adaptation between USPS and MNIST: DANN, CORAL, MMD, and the two bounds.

    python benchmarks/domains.py --out runs/domains

Each cell is ``metaray transfer dann`` in one process of one thread. The settings are the defaults,
which are those of Ganin et al. 2016, with a network of 32 channels; nothing is chosen by labels of
the target, and the weights tested are the last. Of MNIST there are the 10,000 pictures of its test
part, of which 2,000 are tested and 7,000 seen in training; of USPS its published parts.

``--pictures sampled`` shows training 2,000 pictures of MNIST and 1,800 of USPS, drawn by the seed,
as many as in the papers whose figures are compared with. A finished cell under ``--out`` is not
computed again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from common import SHARED_DATA, Row, report

METHODS = {
    "source only": ["job.adaptation=none"],
    "CORAL": ["job.adaptation=coral"],
    "MMD": ["job.adaptation=mmd"],
    "DANN": ["job.adaptation=dann"],
    "target supervised": ["job.adaptation=none"],
}
DIRECTIONS = (("usps", "mnist"), ("mnist", "usps"))
SAMPLED = {"mnist": 2000, "usps": 1800}
# Tzeng et al., CVPR 2017 (arXiv 1702.05464), table 2
PUBLISHED = {
    ("usps", "mnist", "source only"): "57.1 ± 1.7",
    ("mnist", "usps", "source only"): "75.2 ± 1.6",
    ("usps", "mnist", "DANN"): "73.0 ± 2.0",
    ("mnist", "usps", "DANN"): "77.1 ± 1.8",
}
_TEST_OF_MNIST = 2000


def write_digits(folder: Path, pictures: str, seed: int) -> None:
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
        if pictures == "sampled" and part == "train":
            kept = SAMPLED[name]
        at = rng.permutation(len(labels))[:kept]
        path = folder / name / f"{part}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, images=images[at], labels=labels[at])


def settings(method: str, source: str, target: str, seed: int, digits: Path) -> list[str]:
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


def train(folder: Path, sets: list[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # of a benchmark that was interrupted
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = "from metaray.platform.cli.main import run; run()"
    words = [sys.executable, "-W", "ignore", "-c", command, "transfer", "dann", "--out", folder]
    options = [part for item in sets for part in ("--set", item)]
    with (folder.parent / f"{folder.name}.log").open("w") as log:
        done = subprocess.run([*words, *options], stdout=log, stderr=log, check=False)
    if done.returncode:
        raise SystemExit(f"the run in {folder} failed: {folder}.log")


def row_of(source: str, target: str, method: str, folders: list[Path]) -> Row:
    found: list[dict[str, Any]] = [
        json.loads((folder / "summary.json").read_text()) for folder in folders
    ]
    accuracies = [100 * summary["accuracy"] for summary in found]
    return {
        "from": source,
        "to": target,
        "method": method,
        "accuracy %": round(mean(accuracies), 2),
        "± over seeds": round(stdev(accuracies), 2) if len(found) > 1 else None,
        "seeds": " ".join(f"{accuracy:.1f}" for accuracy in accuracies),
        "published %": PUBLISHED.get((source, target, method)),
        "steps": found[0]["steps"],
        "minutes": round(mean(summary["wall_s"] for summary in found) / 60, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pictures", choices=["all", "sampled"], default="all")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--set", action="append", default=[], help="a setting of all cells")
    parser.add_argument("--name", default="domains", help="of the file of results")
    parser.add_argument("--out", type=Path, default=Path("runs/domains"))
    arguments = parser.parse_args()
    common = ["model.width=32", f"train.steps={arguments.steps}", *arguments.set]
    cells: dict[tuple[str, str, str], list[Path]] = {}
    waiting = []
    for seed in range(arguments.seeds):
        digits = (arguments.out / f"digits-{seed}").absolute()
        if not digits.exists():
            write_digits(digits, arguments.pictures, seed)
        for (source, target), method in product(DIRECTIONS, arguments.methods):
            folder = arguments.out / f"{source}-{target}-{method.replace(' ', '_')}-{seed}"
            cells.setdefault((source, target, method), []).append(folder)
            if not (folder / "summary.json").exists():
                waiting.append((folder, [*settings(method, source, target, seed, digits), *common]))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in [pool.submit(train, *cell) for cell in waiting]:
            done.result()
    rows = [row_of(*cell, folders) for cell, folders in cells.items()]
    facts = {"pictures": arguments.pictures, "settings": common, "seeds": arguments.seeds}
    report(arguments.name, rows, **facts)


if __name__ == "__main__":
    main()
