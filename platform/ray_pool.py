"""Shards on Ray worker actors, the update on a learner actor. The only place that retries.

The gradients go from workers to the learner through Ray's object store; this process passes
references on and never fetches them. The new state comes back as one object, which every worker
of the node maps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic, perf_counter
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from metaray.platform.actors import start_learner
from metaray.platform.checkpoint import Checkpoint
from metaray.platform.config import RunConfig
from metaray.platform.errors import LearnerLostError, WorkersLostError
from metaray.platform.messages import (
    EvaluateOrder,
    FlatState,
    Order,
    Predictions,
    ShardReport,
    TrainOrder,
)
from metaray.platform.pool import Notify, Pool, PoolHealth, StepResult
from metaray.platform.ray_errors import cause_of, first_line
from metaray.platform.roster import Member, Roster

_IN_FLIGHT = 2  # orders per worker: the next one is there when the current one is done
_POLL_S = 1.0


class RayPool(Pool):
    """Needs an initialised Ray; ``close`` ends its actors, not Ray."""

    def __init__(self, config: RunConfig, notify: Notify) -> None:
        self._config = config
        self._notify = notify
        self._learner = start_learner(config)
        self._roster = Roster(config, notify)
        try:
            self._state = self._learner.state.remote()
            self._wait_for_first_worker()
            self._ask_learner(self._state)
        except BaseException:
            self.close()
            raise

    def train_step(self, orders: Sequence[TrainOrder]) -> StepResult:
        """All shards on whichever workers are free, then the update."""
        started = perf_counter()
        recomputed = 0
        for _ in range(1 + self._config.workers.max_retries):
            dispatch = self._run(orders, self._state)
            computed = perf_counter()
            recomputed += dispatch.redone
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
            )
        raise WorkersLostError(
            f"the gradients of step {orders[0].step} were lost on their way to the learner more "
            f"often than workers.max_retries = {self._config.workers.max_retries} allows: look for "
            "lack of memory, then continue with --resume"
        )

    def evaluate(
        self,
        orders: Sequence[EvaluateOrder],
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

    @property
    def health(self) -> PoolHealth:
        """Workers ready for orders, and lost."""
        return PoolHealth(alive=len(self._roster.ready), lost=self._roster.lost)

    def close(self) -> None:
        """End the actors."""
        self._roster.close()
        ray.kill(self._learner)

    def _run(
        self,
        orders: Sequence[Order],
        state: Any,
        done: Callable[[ShardReport], None] = lambda report: None,
    ) -> _Dispatch:
        """Every order done, on whichever workers are free."""
        dispatch = _Dispatch(self._config, self._roster, orders, state)
        while dispatch.unfinished:
            dispatch.hand_out()
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

    def _wait_for_first_worker(self) -> None:
        deadline = monotonic() + self._config.workers.start_timeout_s
        while not self._roster.ready:
            started, _ = ray.wait(self._roster.starting, timeout=_POLL_S)
            for reference in started:
                self._roster.admit(reference)
            if monotonic() > deadline:
                raise WorkersLostError(_cannot_start(self._config))


class _Dispatch:
    """One batch of orders over a changing set of workers."""

    def __init__(
        self, config: RunConfig, roster: Roster, orders: Sequence[Order], state: Any
    ) -> None:
        self._config = config
        self._roster = roster
        self._orders = orders
        self._state = state
        self._waiting = deque(range(len(orders)))
        self._in_flight: dict[Any, tuple[int, Member, Any]] = {}
        self._tries = [0] * len(orders)
        self._idle_since = monotonic()
        self.payloads: list[Any] = [None] * len(orders)
        self.reports: list[ShardReport | None] = [None] * len(orders)
        self.redone = 0

    @property
    def unfinished(self) -> bool:
        """Whether a report is missing."""
        return any(report is None for report in self.reports)

    @property
    def finished_reports(self) -> list[ShardReport]:
        """The reports that are there."""
        return [report for report in self.reports if report is not None]

    def hand_out(self) -> None:
        """Give waiting orders to the least loaded workers."""
        while self._waiting and self._roster.ready:
            member = min(self._roster.ready, key=lambda m: m.load)
            if member.load >= _IN_FLIGHT:
                return
            index = self._waiting.popleft()
            payload, report = member.handle.run.options(num_returns=2).remote(
                self._orders[index], self._state
            )
            member.load += 1
            self._in_flight[report] = (index, member, payload)

    def collect(self) -> list[ShardReport]:
        """Wait for something to happen and take it in; the reports that arrived."""
        pending = [*self._in_flight, *self._roster.starting]
        resolved, _ = ray.wait(pending, num_returns=1, timeout=_POLL_S) if pending else ([], [])
        arrived = []
        for reference in resolved:
            if reference in self._in_flight:
                arrived += self._take_in(reference)
            else:
                self._roster.admit(reference)
        self._roster.dismiss_idle()
        self._check_alive()
        return arrived

    def _take_in(self, reference: Any) -> list[ShardReport]:
        index, member, payload = self._in_flight.pop(reference)
        member.load -= 1
        try:
            report: ShardReport = ray.get(reference)
        except RayTaskError as error:  # the order itself failed: no other worker would do better
            raise cause_of(error) from None
        except RayError as error:
            self._roster.remove(member, error)
            self._try_again(index)
            return []
        self.payloads[index], self.reports[index] = payload, report
        return [report]

    def _try_again(self, index: int) -> None:
        self._tries[index] += 1
        self.redone += 1
        if self._tries[index] > self._config.workers.max_retries:
            raise WorkersLostError(
                f"{self._orders[index].label} lost its worker {self._tries[index]} times "
                f"(workers.max_retries = {self._config.workers.max_retries}): its tasks may need "
                "more memory than a worker has; lower train.shard_size or use fewer workers"
            )
        self._waiting.appendleft(index)

    def _check_alive(self) -> None:
        if self._roster.ready:
            self._idle_since = monotonic()
        elif monotonic() - self._idle_since > self._config.workers.start_timeout_s:
            raise WorkersLostError(_cannot_start(self._config))


def _cannot_start(config: RunConfig) -> str:
    wanted = f"{config.workers.cpus:g} CPU" + (
        f" and {config.workers.gpus:g} GPU" if config.workers.gpus else ""
    )
    has = ray.cluster_resources()
    free = ray.available_resources()
    return (
        f"no worker could be started within {config.workers.start_timeout_s:g} s: each needs "
        f"{wanted}, the cluster has {has.get('CPU', 0):g} CPU ({free.get('CPU', 0):g} free) and "
        f"{has.get('GPU', 0):g} GPU ({free.get('GPU', 0):g} free); lower workers.cpus or "
        "workers.gpus, or wait for resources"
    )
