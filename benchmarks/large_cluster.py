"""One outer step on many workers that only sleep: where does the learner become the bottleneck?

    python benchmarks/large_cluster.py --alone     # the learner without Ray, in CPU time
    python benchmarks/large_cluster.py             # whole steps

Pool, scheduler, worker group and learner are metaray's own. A simulated worker sleeps for the time
that its shard would take and returns a gradient of real size; all simulated workers are threads of
a few processes, so that hundreds fit into one machine. Each worker has one shard a step (the
meta-batch grows with the workers), so with no cost but computing every step would take as long as
one shard.

``flat``: the learner adds all shards, as metaray does. ``tree``: processes add groups of shards
first, and the learner adds their sums. Both in the order of the shards within a group.

``learner ms``: adding and stepping, as the learner measures it. ``hand over ms``: the rest of a
step beyond the sleep: requests, results into the object store, the state. On this machine all of it
shares the cores that simulate the workers, which a cluster's nodes would each do for themselves.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from math import ceil, sqrt
from statistics import median
from threading import Semaphore
from time import perf_counter, process_time, sleep
from typing import Any

import numpy as np
from common import Row, report

import metaray
from metaray.cluster.connect import connected
from metaray.platform.config.meta import RunConfig
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.meta_data import open_data
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.learner import MetaLearner
from metaray.platform.training.meta.messages import (
    FlatState,
    ShardReport,
    TrainRequest,
    train_requests,
)

SHARD_S = 0.5
TASKS = 4
PROCESSES = 4
SIZES = {
    "conv4": ("conv4_strided", (1, 4, 16, 64, 256)),
    "resnet12": ("resnet12", (1, 4, 8, 16, 32)),
}


class SimulatedWorkers:
    """Several workers in one process: what TaskWorker returns, after a sleep."""

    def __init__(self, size: int, workers: int) -> None:
        self.gradient = np.full(size, 1e-6, np.float32)
        self.computing = Semaphore(workers)  # a worker has two threads, of which one computes

    def compute(
        self, requests: Sequence[TrainRequest], state: FlatState
    ) -> tuple[list[FlatState], list[ShardReport]]:
        with self.computing:
            sleep(SHARD_S * len(requests))
        reports = [
            ShardReport(
                num_tasks=request.num_tasks,
                finite=True,
                metrics={"loss": 1.0, "accuracy": 0.5},
                sample_s=0.0,
                compute_s=SHARD_S,
            )
            for request in requests
        ]
        return [self.gradient] * len(requests), reports

    def place(self) -> tuple[str, int]:
        return "simulated", 0


class Adder:
    def add(self, *calls: Sequence[FlatState]) -> list[FlatState]:
        shards = [shard for call in calls for shard in call]
        total = np.array(shards[0])
        for shard in shards[1:]:
            total += shard
        return [total]


def simulate(size: int, workers: int) -> tuple[Callable[[RunConfig], Any], list[Any]]:
    """What starts a worker, and the processes in which they are."""
    import ray

    processes = min(PROCESSES, workers)
    each = ceil(workers / processes)
    actor = ray.remote(SimulatedWorkers).options(num_cpus=0, max_concurrency=2 * each + 1)
    hosts = [actor.remote(size, each) for _ in range(processes)]
    ray.get([host.place.remote() for host in hosts])
    started = iter(range(workers))
    return lambda config: hosts[next(started) % processes], hosts


def tree_step(pool: Any, adders: list[Any], requests: Sequence[TrainRequest]) -> Any:
    """``RayPool.train_step``, with the sums of groups in place of the shards.

    There are as many workers as shards: a call has one.
    """
    scheduler = pool._run(requests, pool._state)
    group = ceil(sqrt(len(requests)))
    merged, sums, reports = [], [], []
    for number, start in enumerate(range(0, len(requests), group)):
        part = slice(start, start + group)
        tasks = sum(request.num_tasks for request in requests[part])
        merged.append(
            TrainRequest(
                step=requests[0].step,
                shard=number,
                first_task=requests[start].first_task,
                num_tasks=tasks,
            )
        )
        adder = adders[number % len(adders)]
        sums.append(adder.add.remote(*scheduler.payloads[part]))
        reports.append(
            ShardReport(
                num_tasks=tasks, finite=True, metrics={"loss": 1.0}, sample_s=0.0, compute_s=SHARD_S
            )
        )
    state, update = pool._learner.update_from.options(num_returns=2).remote(merged, reports, *sums)
    answer = pool._ask_learner(update)
    pool._state = state
    return answer


def settings(name: str, workers: int) -> RunConfig:
    return META.load(
        None,
        [
            f"model.name={SIZES[name][0]}",
            "model.width=64",
            "data.num_classes=200",
            f"workers.count={workers}",
            f"train.shard_size={TASKS}",
            f"train.meta_batch_size={TASKS * workers}",
            "train.validate_every=0",
        ],
    )


def alone(name: str, shards: int, steps: int) -> Row:
    """What an update costs the learner's own thread, with any other load on the machine."""
    config = settings(name, shards)
    learner = MetaLearner(Blueprint.open(config))
    result = ShardReport(
        num_tasks=TASKS, finite=True, metrics={"loss": 1.0}, sample_s=0.0, compute_s=SHARD_S
    )
    sums = [np.full(learner.state().size, 1e-6, np.float32) for _ in range(shards)]
    seconds = []
    for step in range(steps + 1):
        requests = train_requests(step, config.train)
        started = process_time()
        learner.update(requests, [result] * shards, sums)
        seconds.append(process_time() - started)
    return {
        "numbers": len(sums[0]),
        "shards": shards,
        "CPU ms of an update": 1000 * median(seconds[1:]),
        "received MB": sum(one.nbytes for one in sums) / 1e6,
    }


def measure(name: str, workers: int, steps: int) -> list[Row]:
    import ray

    from metaray.platform.distributed import worker_group
    from metaray.platform.distributed.ray_pool import RayPool

    config = settings(name, workers)
    blueprint = Blueprint(config, open_data(config))
    size = sum(layout.size for layout in blueprint.layouts)
    worker_group.start_worker, hosts = simulate(size, workers)
    pool = RayPool(config, lambda text: None)
    pool.wait_for_workers(workers)
    adders = [ray.remote(Adder).options(num_cpus=0).remote() for _ in range(2)]
    rows = []
    step = 0
    for way in ("flat", "tree") if workers > 4 else ("flat",):
        seconds, updates = [], []
        for turn in range(steps + 1):
            requests = train_requests(step, config.train)
            started = perf_counter()
            update = (
                pool.train_step(requests).update
                if way == "flat"
                else tree_step(pool, adders, requests)
            )
            if turn:  # the first is slower
                seconds.append(perf_counter() - started)
                updates.append(update.update_s)
            step += 1
        took, learner = median(seconds), median(updates)
        rows.append(
            {
                "parameters": blueprint.layouts[0].size,
                "workers": workers,
                "sums": way,
                "step ms": 1000 * took,
                "learner ms": 1000 * learner,
                "hand over ms": 1000 * (took - learner - SHARD_S),
                "efficiency": SHARD_S / took,
            }
        )
        print(rows[-1], flush=True)
    pool.close()
    for actor in (*hosts, *adders):
        ray.kill(actor)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=5, help="outer steps per figure")
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--most", type=int, default=256, help="workers")
    parser.add_argument("--alone", action="store_true", help="only the learner, without Ray")
    arguments = parser.parse_args()
    if arguments.alone:
        alone_rows = [
            alone(name, shards, arguments.steps)
            for name in arguments.sizes
            for shards in SIZES[name][1]
        ]
        report("learner_alone", alone_rows, steps=arguments.steps)
        return
    with connected("local", metaray):
        rows = [
            row
            for name in arguments.sizes
            for workers in SIZES[name][1]
            if workers <= arguments.most
            for row in measure(name, workers, arguments.steps)
        ]
    report("large_cluster", rows, steps=arguments.steps, shard_s=SHARD_S)


if __name__ == "__main__":
    main()
