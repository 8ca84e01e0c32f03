"""The Ray side of worker and learner: the same plain classes, as actors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from threading import Lock
from typing import Any

import ray

from metaray.platform.config.meta import RunConfig
from metaray.platform.distributed.processes import Place
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.learner import MetaLearner
from metaray.platform.training.meta.messages import (
    FlatState,
    ShardReport,
    ShardRequest,
    TrainRequest,
    UpdateReport,
)
from metaray.platform.training.meta.worker import TaskWorker


class WorkerActor(TaskWorker):
    """A TaskWorker in its own process.

    It has three threads: while one hands its result to Ray, another computes the next call, and
    the third says that the process lives. Only one computes at a time.
    """

    def __init__(self, config: RunConfig) -> None:
        super().__init__(Blueprint.open(config))
        self._computing = Lock()

    def compute(
        self, requests: Sequence[ShardRequest], state: FlatState
    ) -> tuple[list[Any], list[ShardReport]]:
        """The payloads of ``requests`` at ``state``, and a report on each."""
        with self._computing:
            after = [*requests[1:], None]
            results = [
                self.run(request, state, then if isinstance(then, TrainRequest) else None)
                for request, then in zip(requests, after, strict=True)
            ]
        return [payload for payload, _ in results], [report for _, report in results]

    def place(self) -> Place:
        """Where it is; answers once the worker is built, also while it computes."""
        return Place.here()


class LearnerActor(MetaLearner):
    """A MetaLearner in its own process."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__(Blueprint.open(config))

    def update_from(
        self,
        requests: Sequence[TrainRequest],
        reports: Sequence[ShardReport],
        *calls: Sequence[FlatState],
    ) -> tuple[FlatState, UpdateReport]:
        """``update`` with the sums of each call to a worker; the calls are in shard order."""
        return self.update(requests, reports, list(chain(*calls)))

    def place(self) -> Place:
        """Where it is; a cheap question to find out whether it lives."""
        return Place.here()


def start_worker(config: RunConfig) -> Any:
    """A handle of a new worker actor, which may still be waiting for resources.

    Ray does not restart it: the pool replaces it, so that what it had in flight is known.
    """
    options = config.workers
    actor = ray.remote(WorkerActor).options(
        num_cpus=options.cpus,
        num_gpus=options.gpus,
        max_restarts=0,
        max_task_retries=0,
        max_concurrency=3,
    )
    return actor.remote(config)


def start_learner(config: RunConfig) -> Any:
    """A handle of a new learner actor. It takes no CPU: it works while workers wait."""
    return ray.remote(LearnerActor).options(num_cpus=0, max_restarts=0).remote(config)
