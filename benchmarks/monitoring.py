"""What monitoring costs a step: one run in which it is on and off by turns.

    python benchmarks/monitoring.py

Prototypical networks on small characters with one Ray worker, so that steps are short and a cost
would be seen. While monitoring is on, the status file, TensorBoard and the export through Ray are
at work as in any run; while it is off, its thread waits. Turns last some seconds, so that other
load on the machine meets both alike. The processor time of the thread is measured by itself.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from common import report
from rich.console import Console

import metaray
from metaray.cluster.connect import connected
from metaray.platform.callbacks.monitor import TerminalMonitor, TrainingWatch
from metaray.platform.callbacks.observer import Observer, observed
from metaray.platform.config.loading import load_config
from metaray.platform.experiment.meta import fingerprint
from metaray.platform.run.checkpoint import CheckpointStore
from metaray.platform.run.directory import RunDirectory
from metaray.platform.training.loop import OuterLoop
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.executor import ShardSumExecutor, loop_settings
from metaray.platform.training.meta.metrics import mean_and_ci95
from metaray.platform.training.writer import LocalRunWriter

TURN_S = 5.0
SETTINGS = [
    "method.name=protonet",
    "data.num_classes=200",
    "data.image_size=16",
    "model.width=8",
    "task.ways=5",
    "task.train_ways=5",
    "train.meta_batch_size=4",
    "train.shard_size=4",
    "train.validate_every=0",
    "train.checkpoint_every=1000000",
    "train.outer_steps=1000000",
    "workers.count=1",
    "workers.start_timeout_s=600",
]


class Turns:
    """Takes the rows of a run, and passes them on while monitoring is on."""

    def __init__(self, observer: Observer, watch: TrainingWatch) -> None:
        self._observer = observer
        self._watch = watch
        self._clock = time.pthread_getcpuclockid(observer._thread.ident or 0)
        self._is_on = True
        self._turn: list[float] = []
        self._turn_began = self._last = time.perf_counter()
        self._cpu_began = self._cpu_s()
        self.step_s: dict[bool, list[float]] = {True: [], False: []}
        self.cpu_share: list[float] = []
        """processor time of the thread over the time of each turn that is on"""

    def on_row(self, row: Mapping[str, Any]) -> None:
        if self._is_on:
            self._watch.on_row(row)
        now = time.perf_counter()
        self._turn.append(now - self._last)
        self._last = now
        if now - self._turn_began >= TURN_S:
            self._end_turn(now)

    def _end_turn(self, now: float) -> None:
        self.step_s[self._is_on].append(float(np.mean(self._turn)))
        if self._is_on:
            self.cpu_share.append((self._cpu_s() - self._cpu_began) / (now - self._turn_began))
            self._observer._telling.acquire()
        else:
            self._observer._telling.release()
        self._is_on = not self._is_on
        self._turn, self._cpu_began = [], self._cpu_s()
        self._turn_began = self._last = time.perf_counter()

    def done(self, turns: int) -> bool:
        return self._is_on and len(self.step_s[False]) >= turns

    def _cpu_s(self) -> float:
        return time.clock_gettime(self._clock)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=12, help="of each kind")
    arguments = parser.parse_args()
    config = load_config(None, SETTINGS)
    with tempfile.TemporaryDirectory() as name, connected("local", metaray):
        from metaray.platform.distributed.ray_pool import RayPool

        run = RunDirectory.create(Path(name) / "run")
        blueprint = Blueprint.open(config)
        pool = RayPool(config, print)
        with (
            observed(run.path, config, TerminalMonitor(Console(quiet=True))) as observer,
            observer.among(pool.workers),
            observer.training(config.train.outer_steps, 0, None) as watch,
        ):
            time.sleep(10)  # libraries are imported, and the first values exported
            turns = Turns(observer, watch)
            measured = TrainingWatch(
                on_row=turns.on_row,
                notify=print,
                stop_requested=lambda: turns.done(arguments.turns),
            )
            store = CheckpointStore(run.checkpoints, fingerprint(blueprint), 1)
            writer = LocalRunWriter(run, store, measured)
            OuterLoop(ShardSumExecutor(pool, blueprint), writer, loop_settings(config)).run()
            writer.close()
        pool.close()
    on, off = (np.array(turns.step_s[is_on][: arguments.turns]) for is_on in (True, False))
    differences, ci95 = mean_and_ci95(on - off)
    rows = [
        {"": "on", "ms a step": 1000 * float(on.mean())},
        {"": "off", "ms a step": 1000 * float(off.mean())},
        {"": "difference", "ms a step": 1000 * float(differences)},
        {"": "± (95 %)", "ms a step": 1000 * float(ci95)},
    ]
    share = float(np.mean(turns.cpu_share))
    Console().print(f"the thread takes {share:.2%} of a core")
    report("monitoring", rows, turns=arguments.turns, turn_s=TURN_S, cpu_share_of_thread=share)


if __name__ == "__main__":
    main()
