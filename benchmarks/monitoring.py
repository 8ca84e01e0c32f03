"""What monitoring costs a step: one run in which it is on and off by turns.

    python benchmarks/monitoring.py

Prototypical networks on small characters with one Ray worker, so that steps are short and a cost
would be seen. While monitoring is on, the status file, TensorBoard and the export through Ray are
at work as in any run; while it is off, their threads wait. Turns last some seconds, so that other
load on the machine meets both alike. The processor time of the threads is measured by itself.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from threading import Event

import numpy as np
from common import report
from rich.console import Console

import metaray
from metaray.cluster.connect import connected
from metaray.platform.callbacks.base import Callback, Row
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.callbacks.members import BackgroundMember
from metaray.platform.callbacks.monitored import monitored
from metaray.platform.common.intervals import mean_and_ci95
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.meta_state import fingerprint
from metaray.platform.run.checkpoint import CheckpointStore
from metaray.platform.run.directory import RunDirectory
from metaray.platform.training.loop import OuterLoop
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.executor import ShardSumExecutor, loop_settings
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


class Turns(Callback):
    """Takes the rows of a run, and passes them on while monitoring is on."""

    def __init__(self, callbacks: CallbackList, turns: int) -> None:
        self._callbacks = callbacks
        self._members = [m for m in callbacks._members if isinstance(m, BackgroundMember)]
        self._clocks = [time.pthread_getcpuclockid(m._thread.ident or 0) for m in self._members]
        self._gate = Event()
        self._turns = turns
        self._is_on = True
        self._turn: list[float] = []
        self._turn_began = self._last = time.perf_counter()
        self._cpu_began = self._cpu_s()
        self.step_s: dict[bool, list[float]] = {True: [], False: []}
        self.cpu_share: list[float] = []
        """processor time of the threads over the time of each turn that is on"""

    def on_step(self, row: Row) -> None:
        if self._is_on:
            self._callbacks.on_step(row)
        now = time.perf_counter()
        self._turn.append(now - self._last)
        self._last = now
        if now - self._turn_began >= TURN_S:
            self._end_turn(now)

    def _end_turn(self, now: float) -> None:
        self.step_s[self._is_on].append(float(np.mean(self._turn)))
        if self._is_on:
            self.cpu_share.append((self._cpu_s() - self._cpu_began) / (now - self._turn_began))
            self._gate.clear()
            for member in self._members:
                member._waiting.append(self._gate.wait)
                member._wake.set()
        else:
            self._gate.set()
        self._is_on = not self._is_on
        self._turn, self._cpu_began = [], self._cpu_s()
        self._turn_began = self._last = time.perf_counter()

    def done(self) -> bool:
        return self._is_on and len(self.step_s[False]) >= self._turns

    def _cpu_s(self) -> float:
        return sum(map(time.clock_gettime, self._clocks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=12, help="of each kind")
    arguments = parser.parse_args()
    config = META.load(None, SETTINGS)
    with tempfile.TemporaryDirectory() as name, connected("local", metaray):
        from metaray.platform.distributed.ray_pool import RayPool

        run = RunDirectory.create(Path(name) / "run")
        blueprint = Blueprint.open(config)
        pool = RayPool(config, print)
        total = config.train.outer_steps
        with (
            monitored(run.path, config, CallbackList(), total_steps=total) as callbacks,
            callbacks.attach(pool.workers),
            callbacks.training(),
        ):
            time.sleep(10)  # libraries are imported, and the first values exported
            turns = Turns(callbacks, arguments.turns)
            following = CallbackList([turns])
            following.stop.add_condition(turns.done)
            store = CheckpointStore(run.checkpoints, fingerprint(blueprint), 1)
            writer = LocalRunWriter(run, store, following)
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
    Console().print(f"the threads take {share:.2%} of a core")
    report("monitoring", rows, turns=arguments.turns, turn_s=TURN_S, cpu_share_of_threads=share)


if __name__ == "__main__":
    main()
