"""Where shards are computed and the learner lives: what the loop sees, and the form in process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from metaray.platform.config.schema import RunConfig
from metaray.platform.run.checkpoint import Checkpoint
from metaray.platform.run.status import WorkerState
from metaray.platform.training.meta.learner import MetaLearner
from metaray.platform.training.meta.messages import (
    EvaluateRequest,
    FlatState,
    Predictions,
    ShardReport,
    TrainRequest,
    UpdateReport,
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
    def train_step(self, orders: Sequence[TrainRequest]) -> StepResult:
        """Compute all shards of one outer step and update.

        Raises:
            NonFiniteError: a shard is not finite; nothing was updated.
            WorkersLostError: workers died too often.
            LearnerLostError: the learner died; ``restore`` starts another.
        """

    @abstractmethod
    def evaluate(
        self,
        orders: Sequence[EvaluateRequest],
        state: FlatState | None,
        done: Callable[[int], None],
    ) -> list[Predictions]:
        """Predictions in the order of ``orders``, at ``state`` or the learner's own (None).

        ``done`` is told the number of episodes of each order that is finished.
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

    def __init__(self, config: RunConfig) -> None:
        self._worker = TaskWorker(config)
        self._learner = MetaLearner(config)
        self._state = self._learner.state()

    def train_step(self, orders: Sequence[TrainRequest]) -> StepResult:
        """One shard after another, in order."""
        started = perf_counter()
        results = [self._worker.run(order, self._state) for order in orders]
        reports = [report for _, report in results]
        sums = [total for total, _ in results]
        self._state, update = self._learner.update(orders, *sums, *reports)
        busy = sum(r.sample_s + r.compute_s for r in reports) + update.update_s
        return StepResult(
            shards=tuple(reports),
            update=update,
            recomputed=0,
            transfer_s=max(0.0, perf_counter() - started - busy),
            queue_depth=0,
        )

    def evaluate(
        self,
        orders: Sequence[EvaluateRequest],
        state: FlatState | None,
        done: Callable[[int], None],
    ) -> list[Predictions]:
        """One order after another."""
        at = self._state if state is None else state
        results = []
        for order in orders:
            predictions, report = self._worker.run(order, at)
            results.append(predictions)
            done(report.num_tasks)
        return results

    def snapshot(self) -> Checkpoint:
        """The learner's state."""
        return self._learner.snapshot()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Put the learner into ``checkpoint``."""
        self._state = self._learner.restore(checkpoint)

    def resize(self, count: int) -> None:
        """There is one process, whatever the count."""

    @property
    def health(self) -> PoolHealth:
        """This process."""
        return PoolHealth(alive=1, wanted=1, lost=0)

    def close(self) -> None:
        """Nothing was started."""
