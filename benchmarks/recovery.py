"""What the loss of a worker, a node and the driver costs: seconds, and tasks that are done again.

    python benchmarks/recovery.py

A new cluster of a head and two nodes on this machine's loopback, which ends with the
benchmark. MAML on glyphs with two workers, one on each node. After each loss training continues by
itself; a lost node is replaced by ``metaray cluster up``, a lost driver by ``--resume``. In the end
the parameters are compared with those of an undisturbed run in one process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import psutil
from common import METARAY, Row, newest_checkpoint, options, report, rows_of

from metaray.platform.run.status import Status

STEPS, SHARD = 160, 8
SETTINGS = [
    "train.schedule=constant", "train.validate_every=0", "train.checkpoint_every=25",
    f"train.outer_steps={STEPS}", f"train.shard_size={SHARD}", "evaluate.num_episodes=2",
]  # fmt: skip
_AT = 60  # the step of the loss, between two checkpoints
_LONGEST_S = 300.0


class Training:
    """A run whose log is read while it grows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        words = ["train", "--out", str(folder), "--address", "auto"]
        self._start([*words, *options([*SETTINGS, "workers.count=2"])])
        self.until(lambda row: row["step"] >= _AT and row["workers"] == 2)

    def resume(self) -> None:
        self.process.wait()
        self._start(["train", "--resume", str(self.folder), "--address", "auto"])

    def until(self, reached: Callable[[Row], bool]) -> float:
        """Seconds until the last row of the log is as wanted."""
        began = monotonic()
        while not ((rows := rows_of(self.folder)) and reached(rows[-1])):
            if monotonic() - began > _LONGEST_S or self.process.poll() not in (None, 0):
                raise SystemExit(f"the run in {self.folder} did not come that far")
            sleep(0.02)
        return monotonic() - began

    def _start(self, words: list[str]) -> None:
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen([*METARAY, *words], stdout=quiet, stderr=quiet)


def lose_worker(run: Training) -> None:
    status = Status.read(run.folder)
    assert status is not None
    psutil.Process(next(one.pid for one in status.workers if one.state != "lost")).kill()


def lose_node(run: Training) -> None:
    from metaray.cluster.local_cluster import noted_cluster

    cluster = noted_cluster()
    assert cluster is not None
    node = psutil.Process(cluster.nodes[-1].mark.pid)
    for process in [node, *node.children(recursive=True)]:
        process.kill()


def measure(what: str, folder: Path, lose: Callable[[Training], None] | None) -> Row:
    run = Training(folder)
    before = rows_of(folder)
    step, usual = before[-1]["step"], median(row["step_s"] for row in before[5:])
    began = monotonic()
    if lose is None:
        run.process.kill()
        run.resume()
        run.until(lambda row: row["step"] < step)  # the steps since the checkpoint come again
        run.until(lambda row: row["step"] > step)
        again = step % 25 * rows_of(folder)[-1]["tasks"]
    else:
        lose(run)
        run.until(lambda row: row["workers_lost"] >= 1)
    goes_on_s = monotonic() - began
    if lose is lose_node:
        subprocess.run([*METARAY, "cluster", "up"], check=True, stdout=subprocess.DEVNULL)
    run.until(lambda row: row["workers"] == 2)
    whole_s = monotonic() - began
    if run.process.wait():
        raise SystemExit(f"the run in {folder} failed")
    if lose is not None:
        again = SHARD * sum(row["shards_recomputed"] for row in rows_of(folder))
    return {
        "lost": what,
        "goes on after s": goes_on_s,
        "as many workers after s": whole_s,
        "tasks done again": again,
        "usual step s": usual,
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    with TemporaryDirectory(prefix="mr-") as scratch:
        os.environ["METARAY_HOME"] = str(Path(scratch) / "home")
        quiet = subprocess.DEVNULL
        up = [*METARAY, "cluster", "up", "--workers", "2", "--cpus", "1"]
        subprocess.run(up, check=True, stdout=quiet)
        try:
            folders = {name: Path(scratch) / name for name in ("worker", "node", "driver")}
            rows = [
                measure("a worker", folders["worker"], lose_worker),
                measure("a node", folders["node"], lose_node),
                measure("the driver", folders["driver"], None),
            ]
        finally:
            subprocess.run([*METARAY, "cluster", "down"], check=True, stdout=quiet)
        alone = Path(scratch) / "alone"
        words = ["train", "--out", str(alone), *options([*SETTINGS, "workers.count=0"])]
        subprocess.run([*METARAY, *words], check=True, stdout=quiet)
        expected = newest_checkpoint(alone)
        same = all(newest_checkpoint(folder) == expected for folder in folders.values())
        report("recovery", rows, same_bits_as_undisturbed=same)
    if not same:
        raise SystemExit("the parameters differ")


if __name__ == "__main__":
    main()
