"""Training tasks per second of each method: one by one, batched in process, and on Ray workers.

    python benchmarks/throughput.py

Conv4 (strided, 64 filters), 5-way 1-shot on built-in characters, meta-batch 32 in shards of 8, one
thread per process. ``one by one`` differentiates one task after another with the same functions.
``ratio`` is two workers over twice one worker. ``Ray ms`` is the time of a step with one worker in
which that worker did not compute and the learner did not update, the median over steps. Every
figure is a median over the rounds of one run, in which all ways of computing take turns.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from statistics import median
from time import perf_counter
from typing import Any

import torch
from common import report

from metaray.algorithms.episode import Episode
from metaray.algorithms.episode_shape import TaskSpec
from metaray.algorithms.registry import METHODS
from metaray.platform.config.meta import RunConfig
from metaray.platform.distributed.open_pool import open_pool
from metaray.platform.experiment.meta import META
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.messages import train_requests
from metaray.platform.training.meta.pool import LocalPool, Pool, StepResult
from metaray.platform.training.meta.worker import TaskWorker

SETUPS = {"5 steps, 15 queries": (5, 15), "1 step, 1 query": (1, 1)}


def config_for(method: str, steps: int, queries: int, workers: int) -> RunConfig:
    sets = [
        f"method.name={method}",
        "model.name=conv4_strided",
        "model.width=64",
        "task.train_ways=5",
        "task.train_shots=1",
        f"task.train_queries={queries}",
        "data.rotations=none",
        "train.meta_batch_size=32",
        "train.shard_size=8",
        "train.outer_steps=100000",
        f"workers.count={workers}",
    ]
    if has_inner_steps(method):
        sets.append(f"method.inner_steps={steps}")
    return META.load(None, sets)


def has_inner_steps(method: str) -> bool:
    return "inner_steps" in METHODS[method].model_fields


def one_by_one(config: RunConfig, worker: TaskWorker, tasks: int) -> float:
    """Tasks per second of a plain loop over tasks."""
    blueprint = worker.blueprint
    started = perf_counter()
    total: torch.Tensor | None = None
    for index in range(tasks):
        spec = TaskSpec(split="train", index=index, seed=0, shape=config.train_shape)
        episode: Episode = worker.source.sample(spec)
        result = blueprint.algorithm.task_gradient(blueprint.initial, episode, 5)
        flat = blueprint.layouts[0].flatten(result.gradient)
        total = flat if total is None else total + flat
    return tasks / (perf_counter() - started)


class Stepper:
    """A pool that makes one outer step after another."""

    def __init__(self, pool: Pool, config: RunConfig) -> None:
        self.pool = pool
        self.train = config.train
        self.step = 0

    def rate(self, steps: int) -> tuple[float, list[StepResult]]:
        """Tasks per second over ``steps`` outer steps."""
        started = perf_counter()
        results = []
        for _ in range(steps):
            results.append(self.pool.train_step(train_requests(self.step, self.train)))
            self.step += 1
        return steps * self.train.meta_batch_size / (perf_counter() - started), results


def measure(method: str, setup: str, rounds: int) -> dict[str, Any]:
    steps, queries = SETUPS[setup]
    outer = 2 if queries > 1 else 6
    with ExitStack() as stack:
        config = config_for(method, steps, queries, 1)
        blueprint = Blueprint.open(config)
        ray_pool: Any = stack.enter_context(open_pool(blueprint, "local", lambda text: None))
        local = Stepper(LocalPool(blueprint), config)
        worker = TaskWorker(blueprint)
        ray = Stepper(ray_pool, config)
        metrics: dict[str, list[float]] = {key: [] for key in ("loop", "local", "one", "two")}
        waits = []
        local.rate(1)
        for _ in range(rounds):
            metrics["loop"].append(one_by_one(config, worker, 8))
            metrics["local"].append(local.rate(outer)[0])
            for count, key in ((1, "one"), (2, "two")):
                ray_pool.resize(count)
                ray_pool.wait_for_workers(count)
                ray.rate(2)  # a worker that has just joined warms up
                rate, results = ray.rate(outer * count)
                metrics[key].append(rate)
                if count == 1:
                    waits += [1000 * result.transfer_s for result in results]
    return {
        "method": method,
        "setup": setup,
        "one by one": median(metrics["loop"]),
        "in process": median(metrics["local"]),
        "1 worker": median(metrics["one"]),
        "2 workers": median(metrics["two"]),
        "ratio": median(
            two / one / 2 for one, two in zip(metrics["one"], metrics["two"], strict=True)
        ),
        "Ray ms": median(waits),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds per figure")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    arguments = parser.parse_args()
    rows = [
        measure(method, setup, arguments.rounds)
        for setup in SETUPS
        for method in arguments.methods
        if has_inner_steps(method) or setup != "1 step, 1 query"
    ]
    report("throughput", rows, rounds=arguments.rounds)


if __name__ == "__main__":
    main()
