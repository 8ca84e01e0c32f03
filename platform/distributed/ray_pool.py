"""Shards on Ray worker actors, the update on a learner actor. The only place that retries.

The gradients go from workers to the learner through Ray's object store; this process passes
references on and never fetches them. The new state comes back as one object, which every worker
of the node maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic, perf_counter
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from metaray.platform.common.errors import LearnerLostError, WorkersLostError, first_line
from metaray.platform.common.ray_errors import cause_of
from metaray.platform.config.schema import RunConfig
from metaray.platform.distributed.actors import start_learner
from metaray.platform.distributed.scheduler import Scheduler, cannot_start
from metaray.platform.distributed.worker_group import WorkerGroup
from metaray.platform.run.checkpoint import Checkpoint
from metaray.platform.run.status import WorkerState
from metaray.platform.training.meta.messages import (
    EvaluateRequest,
    FlatState,
    Order,
    Predictions,
    ShardReport,
    TrainRequest,
)
from metaray.platform.training.meta.pool import Notify, Pool, PoolHealth, StepResult

_POLL_S = 1.0


class RayPool(Pool):
    """Needs an initialised Ray; ``close`` ends its actors, not Ray."""

    def __init__(self, config: RunConfig, notify: Notify) -> None:
        self._config = config
        self._notify = notify
        self._learner = start_learner(config)
        self._roster = WorkerGroup(config, notify)
        try:
            self._state = self._learner.state.remote()
            self.wait_for_workers(1)
            self._ask_learner(self._state)
        except BaseException:
            self.close()
            raise

    def train_step(self, orders: Sequence[TrainRequest]) -> StepResult:
        """All shards on whichever workers are free, then the update."""
        started = perf_counter()
        recomputed = deepest = 0
        for _ in range(1 + self._config.workers.max_retries):
            dispatch = self._run(orders, self._state)
            computed = perf_counter()
            recomputed += dispatch.redone
            deepest = max(deepest, dispatch.queue_depth)
            reports = dispatch.finished_reports
            state, update_ref = self._learner.update.options(num_returns=2).remote(
                orders, *dispatch.payloads, *reports
            )
            try:
                update = self._ask_learner(update_ref)
            except RayError as error:  # a gradient went down with its node: compute it again
                self._notify(f"gradients of step {orders[0].step} were lost: {first_line(error)}")
                recomputed += len(orders)
                continue
            self._state = state
            waited = computed - started - self._busy_share(reports)
            updating = perf_counter() - computed - update.update_s
            return StepResult(
                shards=tuple(reports),
                update=update,
                recomputed=recomputed,
                transfer_s=max(0.0, waited) + max(0.0, updating),
                queue_depth=deepest,
            )
        raise WorkersLostError(
            f"the gradients of step {orders[0].step} were lost on their way to the learner more "
            f"often than workers.max_retries = {self._config.workers.max_retries} allows: look for "
            "lack of memory, then continue with --resume"
        )

    def evaluate(
        self,
        orders: Sequence[EvaluateRequest],
        state: FlatState | None,
        done: Callable[[int], None],
    ) -> list[Predictions]:
        """Any order on any worker."""
        at = self._state if state is None else ray.put(state)
        dispatch = self._run(orders, at, lambda report: done(report.num_tasks))
        predictions: list[Predictions] = ray.get(dispatch.payloads)
        return predictions

    def snapshot(self) -> Checkpoint:
        """The learner's state."""
        checkpoint: Checkpoint = self._ask_learner(self._learner.snapshot.remote())
        return checkpoint

    def restore(self, checkpoint: Checkpoint) -> None:
        """Put the learner, or a new one if it died, into ``checkpoint``."""
        if not self._learner_is_alive():
            self._learner = start_learner(self._config)
        self._state = self._learner.restore.remote(checkpoint)
        self._ask_learner(self._state)

    def resize(self, count: int) -> None:
        """Workers join or leave between orders."""
        self._roster.resize(count)

    def wait_for_workers(self, count: int) -> None:
        """Return once ``count`` workers take orders; ``train_step`` needs no more than one.

        Raises:
            WorkersLostError: they did not start within ``workers.start_timeout_s``.
        """
        deadline = monotonic() + self._config.workers.start_timeout_s
        while len(self._roster.ready) < count:
            started, _ = ray.wait(self._roster.starting, timeout=_POLL_S)
            for reference in started:
                self._roster.admit(reference)
            if monotonic() > deadline:
                raise WorkersLostError(cannot_start(self._config))

    @property
    def health(self) -> PoolHealth:
        """Workers ready for orders, and lost."""
        roster = self._roster
        return PoolHealth(alive=len(roster.ready), wanted=roster.wanted, lost=roster.lost)

    def workers(self) -> Sequence[WorkerState]:
        """See Pool."""
        return self._roster.states()

    def close(self) -> None:
        """End the actors."""
        self._roster.close()
        ray.kill(self._learner)

    def _run(
        self,
        orders: Sequence[Order],
        state: Any,
        done: Callable[[ShardReport], None] = lambda report: None,
    ) -> Scheduler:
        """Every order done, on whichever workers are free."""
        dispatch = Scheduler(self._config, self._roster, orders, state)
        while dispatch.unfinished:
            dispatch.submit()
            for report in dispatch.collect():
                done(report)
        return dispatch

    def _busy_share(self, reports: Sequence[ShardReport]) -> float:
        """Seconds of computing on the critical path, if the shards were spread evenly."""
        total = sum(report.sample_s + report.compute_s for report in reports)
        return total / max(1, min(len(self._roster.ready), len(reports)))

    def _ask_learner(self, reference: Any) -> Any:
        """What the learner answers. A RayError that gets out is not of the learner's making."""
        try:
            return ray.get(reference)
        except RayTaskError as error:
            raise cause_of(error) from None
        except RayError as error:
            # Ray's errors do not say whether the actor died or something that it was sent
            if self._learner_is_alive():
                raise
            raise LearnerLostError(first_line(error)) from error

    def _learner_is_alive(self) -> bool:
        try:
            ray.get(self._learner.state.remote())
        except RayError:
            return False
        return True
