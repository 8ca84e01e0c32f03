"""Where shards are computed and the learner lives: what the loop sees, and the form in process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from typing_extensions import override

from metaray.platform.run.checkpoint import Checkpoint
from metaray.platform.run.status import WorkerState
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.learner import MetaLearner
from metaray.platform.training.meta.messages import (
    EvaluateRequest,
    FlatState,
    Predictions,
    ShardReport,
    TrainRequest,
    UpdateReport,
    train_requests,
)
from metaray.platform.training.meta.worker import TaskWorker

Notify = Callable[[str], None]
"""Takes a line for the user: a worker was lost, replaced, has joined."""


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """One outer step as the loop records it."""

    shards: tuple[ShardReport, ...]
    update: UpdateReport
    recomputed: int
    transfer_s: float
    """time of the step in which no worker computed and the learner did not update"""
    queue_depth: int
    """most shards that waited for a worker"""


@dataclass(frozen=True, kw_only=True)
class PoolHealth:
    """Workers now, wanted, and lost since the start."""

    alive: int
    wanted: int
    lost: int


class Pool(ABC):
    """Workers and one learner. All training state is the learner's."""

    @abstractmethod
    def train_step(self, requests: Sequence[TrainRequest]) -> StepResult:
        """Compute all shards of one outer step and update.

        Raises:
            NonFiniteError: a shard is not finite; nothing was updated.
            WorkersLostError: workers died too often.
            LearnerLostError: the learner died; ``restore`` starts another.
        """

    @abstractmethod
    def evaluate(
        self,
        requests: Sequence[EvaluateRequest],
        state: FlatState | None,
        done: Callable[[int], None],
    ) -> list[Predictions]:
        """Predictions in the order of ``requests``, at ``state`` or the learner's own (None).

        ``done`` is told the number of episodes of each request that is finished.
        """

    @abstractmethod
    def snapshot(self) -> Checkpoint:
        """The learner's state."""

    @abstractmethod
    def restore(self, checkpoint: Checkpoint) -> None:
        """Put the learner into ``checkpoint``."""

    @abstractmethod
    def resize(self, count: int) -> None:
        """Let workers join or leave until there are ``count``."""

    @property
    @abstractmethod
    def health(self) -> PoolHealth:
        """Workers alive and lost."""

    def workers(self) -> Sequence[WorkerState]:
        """Each worker, and the latest that were lost; none in process. Any thread may ask."""
        return ()

    @abstractmethod
    def close(self) -> None:
        """Release every process that the pool started."""


class LocalPool(Pool):
    """One worker and the learner in this process, without Ray: the reference for all others."""

    def __init__(self, blueprint: Blueprint) -> None:
        self._train = blueprint.config.train
        self._worker = TaskWorker(blueprint)
        self._learner = MetaLearner(blueprint)
        self._state = self._learner.state()

    @override
    def train_step(self, requests: Sequence[TrainRequest]) -> StepResult:
        started = perf_counter()
        after = [*requests[1:], train_requests(requests[0].step + 1, self._train)[0]]
        results = [
            self._worker.run(request, self._state, then)
            for request, then in zip(requests, after, strict=True)
        ]
        reports = [report for _, report in results]
        sums = [total for total, _ in results]
        self._state, update = self._learner.update(requests, reports, sums)
        busy = sum(r.sample_s + r.compute_s for r in reports) + update.update_s
        return StepResult(
            shards=tuple(reports),
            update=update,
            recomputed=0,
            transfer_s=max(0.0, perf_counter() - started - busy),
            queue_depth=0,
        )

    @override
    def evaluate(
        self,
        requests: Sequence[EvaluateRequest],
        state: FlatState | None,
        done: Callable[[int], None],
    ) -> list[Predictions]:
        at = self._state if state is None else state
        results = []
        for request in requests:
            predictions, report = self._worker.run(request, at)
            results.append(predictions)
            done(report.num_tasks)
        return results

    @override
    def snapshot(self) -> Checkpoint:
        return self._learner.snapshot()

    @override
    def restore(self, checkpoint: Checkpoint) -> None:
        self._state = self._learner.restore(checkpoint)

    @override
    def resize(self, count: int) -> None:
        pass  # there is always one process

    @property
    @override
    def health(self) -> PoolHealth:
        return PoolHealth(alive=1, wanted=1, lost=0)

    @override
    def close(self) -> None:
        pass  # nothing was started
