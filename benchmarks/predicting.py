"""What it costs to use a trained model.

    python benchmarks/predicting.py

Three parts, each on one thread or in a separate process:

* ``methods``: time to adapt to a task and to classify one more picture, for each method with its
  recipe for Omniglot (untrained: the time is the same), 5-way 1-shot and 20-way 5-shot. The median
  of ten.
* ``command``: seconds of ``metaray predict`` from its start to its end for 15 support and 10 query
  pictures, wall and CPU.
* ``folder``: the same for 1,000 and 10,000 queries, with its peak of memory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from common import METARAY, Row, report
from PIL import Image

from metaray.algorithms.registry import METHODS
from metaray.algorithms.tasks.preprocessing import Preprocessing
from metaray.platform.experiment.meta import META
from metaray.platform.inference.learner import Learner, LearnerSpec

REPEATS = 10
_MEASURE = """
import resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
GREY = Preprocessing(height=28, width=28, stored_channels=1, channels=1, inverted=True)


def untrained(name: str, ways: int, shots: int) -> Learner:
    config = META.load(
        None,
        [f"method.name={name}", "data.name=omniglot", f"task.ways={ways}", f"task.shots={shots}"],
    )
    spec = LearnerSpec(
        title=name,
        model=config.model,
        method=config.method,
        num_outputs=ways,
        preprocessing=GREY,
        calibration=None,
    )
    return Learner(spec, spec.build().init(0))


def methods() -> list[Row]:
    torch.set_num_threads(1)
    rows = []
    for name in METHODS:
        row: Row = {"method": name}
        for ways, shots in ((5, 1), (20, 5)):
            learner = untrained(name, ways, shots)
            x, y = torch.rand(ways * shots, *GREY.input_shape), torch.arange(ways).repeat(shots)
            reader, query = learner.reader(), torch.rand(1, *GREY.input_shape)
            adapting, classifying = [], []
            for _ in range(REPEATS):
                started = time.perf_counter()
                model = learner.adapted(x, y, range(ways), reader)
                adapted = time.perf_counter()
                model.predict_inputs(query)
                adapting.append(adapted - started)
                classifying.append(time.perf_counter() - adapted)
            shape = f"{ways}-way {shots}-shot"
            row[f"adapt {shape} (ms)"] = round(1000 * median(adapting), 1)
            row[f"classify {shape} (ms)"] = round(1000 * median(classifying), 1)
        rows.append(row)
    return rows


def draw(folder: Path, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:05d}.jpg")


def command(place: Path, queries: int) -> Row:
    """One ``metaray predict``; its children's CPU time and memory."""
    draw(place / f"query{queries}", queries, 1)
    words = ["predict", "--run", str(place / "run"), "--support", str(place / "support")]
    words += ["--query", str(place / f"query{queries}"), "--out", str(place / "found.csv")]
    # a process inherits the peak of the one that starts it, so a small one does
    measured = [sys.executable, "-c", _MEASURE, *METARAY, *words]
    wall, cpu, peak = map(float, subprocess.check_output(measured, text=True).split())
    return {
        "queries": queries,
        "wall (s)": round(wall, 1),
        "CPU (s)": round(cpu, 1),
        "peak memory (MB)": round(peak / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=10_000, help="queries of the largest folder")
    parser.add_argument("--no-methods", action="store_true", help="leave out the first part")
    arguments = parser.parse_args()
    most = arguments.most
    if not arguments.no_methods:
        report("predicting_methods", methods(), repeats=REPEATS, threads=1)
    with TemporaryDirectory() as folder:
        place = Path(folder)
        for number in range(5):
            draw(place / "support" / f"class{number}", 3, number)
        train = ["train", "--out", str(place / "run"), "--set", "method.name=protonet"]
        for setting in ("train.outer_steps=2", "data.num_classes=200", "workers.count=0",
                        "evaluate.num_episodes=4", f"data.cache={place / 'cache'}"):  # fmt: skip
            train += ["--set", setting]
        subprocess.run([*METARAY, *train], check=True, stdout=subprocess.DEVNULL)
        rows = [command(place, queries) for queries in (10, 1000, most)]
    report("predicting_folder", rows, method="protonet", support=15, pixels=64)


if __name__ == "__main__":
    main()
