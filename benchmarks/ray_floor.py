"""What bare Ray calls in the form of one outer step cost: a floor under "Ray ms" of `throughput`.

    python benchmarks/ray_floor.py

Worker actors spin for a set time and return an array, a learner actor adds the arrays and returns
the next one, as metaray's do, and nothing else is done. ``one by one``: a call for each shard; the
driver waits for all of them, then for the update. ``ahead``: it submits the next step before the
current one is done, so that it is never on the path. ``together``: one call per worker and step in
place of one per shard, as metaray does. Milliseconds of a step beyond spinning, medians over steps.
"""

from __future__ import annotations

import argparse
from statistics import median
from threading import Lock
from time import perf_counter
from typing import Any

import numpy as np
from common import report

import metaray
from metaray.cluster.connect import connected

SPIN_S = 0.03
SHARDS = 4


class Worker:
    def __init__(self) -> None:
        self.computing = Lock()

    def run(self, shards: int, state: Any) -> tuple[Any, int]:
        with self.computing:
            total = np.array(state)
            ends = perf_counter() + SPIN_S * shards
            while perf_counter() < ends:
                pass
            return total, shards


class Learner:
    def update(self, number: int, *results: Any) -> tuple[Any, int]:
        total = np.array(results[0])
        for array in results[1:number]:
            total += array
        return total, number


class Step:
    """Submits the calls of one outer step."""

    def __init__(self, workers: list[Any], learner: Any, per_call: int) -> None:
        self.workers = workers
        self.learner = learner
        self.per_call = per_call

    def shards(self, state: Any) -> tuple[list[Any], list[Any]]:
        calls = [
            self.workers[i % len(self.workers)]
            .run.options(num_returns=2)
            .remote(self.per_call, state)
            for i in range(SHARDS // self.per_call)
        ]
        return [payload for payload, _ in calls], [done for _, done in calls]

    def update(self, payloads: list[Any], reports: list[Any]) -> Any:
        update = self.learner.update.options(num_returns=2)
        return update.remote(len(payloads), *payloads, *reports)


def in_turn(step: Step, state: Any, steps: int) -> list[float]:
    import ray

    seconds = []
    for _ in range(steps):
        started = perf_counter()
        payloads, reports = step.shards(state)
        state, done = step.update(payloads, ray.get(reports))
        ray.get(done)
        seconds.append(perf_counter() - started)
    return seconds


def ahead(step: Step, state: Any, steps: int) -> list[float]:
    import ray

    state, done = step.update(*step.shards(state))
    seconds = []
    ray.get(done)
    state, done = step.update(*step.shards(state))
    for _ in range(steps):
        started = perf_counter()
        state, following = step.update(*step.shards(state))
        ray.get(done)
        done = following
        seconds.append(perf_counter() - started)
    return seconds


def measure(ray: Any, count: int, size: int, steps: int) -> dict[str, Any]:
    workers = [ray.remote(Worker).options(max_concurrency=2).remote() for _ in range(count)]
    learner = ray.remote(Learner).options(num_cpus=0).remote()
    state = ray.put(np.zeros(size, np.float32))
    busy = SPIN_S * SHARDS / count
    row: dict[str, Any] = {"workers": count, "numbers in an array": size}
    ways = {
        "one by one": (in_turn, 1),
        "ahead": (ahead, 1),
        "together": (in_turn, SHARDS // count),
    }
    for name, (way, per_call) in ways.items():
        step = Step(workers, learner, per_call)
        in_turn(step, state, 5)  # the first calls are slower
        row[f"{name} ms"] = median(1000 * (s - busy) for s in way(step, state, steps))
    for actor in (*workers, learner):
        ray.kill(actor)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60, help="outer steps per figure")
    arguments = parser.parse_args()
    with connected("local", metaray):
        import ray

        rows = [
            measure(ray, count, size, arguments.steps)
            for size in (1_000, 112_000)
            for count in (1, 2)
        ]
    report("ray_floor", rows, steps=arguments.steps)


if __name__ == "__main__":
    main()
