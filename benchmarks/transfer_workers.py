"""A fine-tuning job in one process, with one worker of Ray Train and with two.

    python benchmarks/transfer_workers.py

Seconds from the command to the first step and to the end, and images a second in between, of the
CIFAR-10 images in ``../shared``. Each process computes with one thread. The jobs take turns, so
that other load on the machine meets all alike.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, sleep

from common import METARAY, SHARED_DATA, Row, has_begun, options, report, rows_of

STEPS, BATCH = 120, 128
SETTINGS = [
    "data.name=folder", f"data.root={SHARED_DATA / 'cifar10_images.zip'}", "data.image_size=32",
    "model.width=32", f"train.batch_size={BATCH}", "train.shard_size=16", f"train.steps={STEPS}",
    "train.validate_every=0", "train.checkpoint_every=1000", "workers.threads=1",
]  # fmt: skip
_WARM = 20  # steps


def once(folder: Path, workers: int) -> Row:
    words = ["transfer", "finetune", "--out", str(folder)]
    began = monotonic()
    command = [*METARAY, *words, *options([*SETTINGS, f"workers.count={workers}"])]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not has_begun(folder):
            sleep(0.02)
        first = monotonic() - began
    if process.returncode:
        raise SystemExit(f"the job in {folder} failed")
    rows = rows_of(folder)
    return {
        "first": first,
        "rate": BATCH / median(row["step_s"] for row in rows[_WARM:]),
        "exchange": median(row["transfer_s"] for row in rows[_WARM:]),
        "whole": monotonic() - began,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    found: dict[int, list[Row]] = {0: [], 1: [], 2: []}
    with TemporaryDirectory(prefix="mr-") as scratch:
        once(Path(scratch) / "prepares", 0)
        for turn in range(repeats):
            for workers, rows in found.items():
                rows.append(once(Path(scratch) / f"{workers}-{turn}", workers))
    table = []
    for workers, rows in found.items():
        middle = {key: median(row[key] for row in rows) for key in rows[0]}
        alone = median(row["rate"] for row in found[0])
        table.append(
            {
                "workers": workers or "this process",
                "first step after s": middle["first"],
                "all after s": middle["whole"],
                "images/s": middle["rate"],
                "times one process": middle["rate"] / alone,
                "exchange ms": 1000 * middle["exchange"],
            }
        )
    report("transfer_workers", table, steps=STEPS, batch=BATCH, repeats=repeats)


if __name__ == "__main__":
    main()
