"""Shards on Ray worker actors, the update on a learner actor. The only place that retries.

The gradients go from workers to the learner through Ray's object store; this process passes
references on and never fetches them. The new state comes back as one object, which every worker
of the node maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from math import inf
from time import monotonic, perf_counter
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, GetTimeoutError, RayError, RayTaskError
from typing_extensions import override

from metaray.platform.common.errors import (
    LearnerLostError,
    StateLostError,
    WorkersLostError,
    first_line,
)
from metaray.platform.common.ray_errors import cause_of
from metaray.platform.config.meta import RunConfig
from metaray.platform.distributed.actors import start_learner
from metaray.platform.distributed.draining import DrainingNodes
from metaray.platform.distributed.patience import Patience
from metaray.platform.distributed.processes import Place, end_process
from metaray.platform.distributed.ray_alive import answer, check_ray, check_ray_now
from metaray.platform.distributed.scheduler import Scheduler, cannot_start
from metaray.platform.distributed.worker_group import WorkerGroup
from metaray.platform.run.checkpoint import Checkpoint
from metaray.platform.run.status import WorkerState
from metaray.platform.training.meta.messages import (
    EvaluateRequest,
    FlatState,
    Predictions,
    ShardReport,
    ShardRequest,
    TrainRequest,
)
from metaray.platform.training.meta.pool import Notify, Pool, PoolHealth, StepResult

_POLL_S = 1.0


class RayPool(Pool):
    """Needs an initialised Ray; ``close`` ends its actors, not Ray."""

    def __init__(self, config: RunConfig, notify: Notify) -> None:
        self._config = config
        self._notify = notify
        self._patience = Patience(config.workers)
        self._seconds_each: dict[type[ShardRequest], float] = {}
        self._learner = start_learner(config)
        self._learner_place: Place | None = None
        self._state: Any = None
        self._next_learner: Any = None
        self._next_place: Any = None
        self._draining = DrainingNodes()
        self._workers = WorkerGroup(config, notify)
        try:
            self.wait_for_workers(1)
            self._first_state()
        except BaseException:
            self.close()
            raise

    @override
    def train_step(self, requests: Sequence[TrainRequest]) -> StepResult:
        started = perf_counter()
        self._leave_draining_nodes()
        recomputed = deepest = 0
        for _ in range(1 + self._config.workers.max_retries):
            try:
                scheduler = self._run(requests, self._state)
            except StateLostError as error:
                self._renew_state(error)
                recomputed += len(requests)
                continue
            computed = perf_counter()
            recomputed += scheduler.redone
            deepest = max(deepest, scheduler.queue_depth)
            reports = scheduler.finished_reports
            state, update_ref = self._learner.update_from.options(num_returns=2).remote(
                requests, reports, *scheduler.payloads
            )
            try:
                update = self._ask_learner(update_ref, was_sent=True)
            except RayError as error:  # a gradient went down with its node: compute it again
                self._notify(f"gradients of step {requests[0].step} were lost: {first_line(error)}")
                recomputed += len(requests)
                continue
            self._state = state
            self._patience.note_step(perf_counter() - started)
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
            f"the gradients of step {requests[0].step} were lost on their way to the learner more "
            f"often than workers.max_retries = {self._config.workers.max_retries} allows: look for "
            "lack of memory, then continue with --resume"
        )

    @override
    def evaluate(
        self,
        requests: Sequence[EvaluateRequest],
        state: FlatState | None,
        done: Callable[[int], None],
    ) -> list[Predictions]:
        given = None if state is None else ray.put(state)
        for _ in range(1 + self._config.workers.max_retries):
            at = self._state if given is None else given
            try:
                told = self._run(requests, at, lambda report: done(report.num_tasks), True)
            except StateLostError as error:
                if given is None:
                    self._renew_state(error)
            else:
                return list(chain(*told.payloads))
        raise WorkersLostError(
            "parameters were lost on their way to the workers more often than workers.max_retries "
            f"= {self._config.workers.max_retries} allows: look for lack of memory, then continue "
            "with --resume"
        )

    @override
    def snapshot(self) -> Checkpoint:
        checkpoint: Checkpoint = self._ask_learner(self._learner.snapshot.remote())
        return checkpoint

    @override
    def restore(self, checkpoint: Checkpoint) -> None:
        if not self._learner_is_alive():
            self._discard_learner()
            self._learner = self._next_learner or start_learner(self._config)
            self._next_learner = None
            self._place_learner()
        self._state = self._learner.restore.remote(checkpoint)
        self._ask_learner(self._state)

    @override
    def resize(self, count: int) -> None:
        self._workers.resize(count)

    def wait_for_workers(self, count: int) -> None:
        """Return once ``count`` workers take requests; ``train_step`` needs no more than one.

        Raises:
            WorkersLostError: they did not start within ``workers.start_timeout_s``.
        """
        deadline = monotonic() + self._config.workers.start_timeout_s
        while len(self._workers.ready) < count:
            started, _ = ray.wait(self._workers.starting, timeout=_POLL_S)
            for reference in started:
                self._workers.admit(reference)
            check_ray()
            if monotonic() > deadline:
                raise WorkersLostError(cannot_start(self._config))

    @property
    @override
    def health(self) -> PoolHealth:
        workers = self._workers
        return PoolHealth(alive=len(workers.ready), wanted=workers.wanted, lost=workers.lost)

    @override
    def workers(self) -> Sequence[WorkerState]:
        return self._workers.states()

    @override
    def close(self) -> None:
        self._workers.close()
        for learner in (self._learner, self._next_learner):
            if learner is not None:
                ray.kill(learner)

    def _leave_draining_nodes(self) -> None:
        """Move the workers and the learner away from nodes that are about to end."""
        nodes = self._draining.ids
        if not nodes:
            return
        self._workers.leave(nodes)
        if self._learner_place is None or self._learner_place.node_id not in nodes:
            return
        if self._next_learner is None:
            self._notify("the learner moves: its node is preempted or drained")
            self._next_learner = start_learner(self._config)
            self._next_place = self._next_learner.place.remote()
        if ray.wait([self._next_place], timeout=0)[0]:
            checkpoint, old = self.snapshot(), self._learner
            self._learner, self._next_learner = self._next_learner, None
            self._place_learner()
            self.restore(checkpoint)
            ray.kill(old)

    def _first_state(self) -> None:
        """What the learner starts from. Another one starts where it is lost so soon."""
        for tries_left in reversed(range(1 + self._config.workers.max_retries)):
            try:
                self._place_learner()
                self._state = self._learner.state.remote()
                self._ask_learner(self._state)
            except LearnerLostError as error:
                if not tries_left:
                    raise WorkersLostError(
                        f"the learner did not start ({error}): look for lack of memory, then try "
                        "again"
                    ) from error
                self._discard_learner()
                self._learner = start_learner(self._config)
            else:
                return

    def _renew_state(self, error: StateLostError) -> None:
        """Ask the learner for the state again, whose object was lost.

        Raises:
            LearnerLostError: it was lost with the state.
        """
        self._notify(f"the parameters were lost with their node: {error}")
        if not self._learner_is_alive():
            raise LearnerLostError(str(error))
        self._state = self._learner.state.remote()
        self._ask_learner(self._state)

    def _run(
        self,
        requests: Sequence[ShardRequest],
        state: Any,
        done: Callable[[ShardReport], None] = lambda report: None,
        fetches: bool = False,
    ) -> Scheduler:
        """Every request done, on whichever workers are free."""
        kind = type(requests[0])
        scheduler = Scheduler(
            self._config,
            self._workers,
            requests,
            state,
            self._patience.limit_s,
            self._seconds_each.get(kind, inf),
            fetches,
        )
        try:
            while scheduler.unfinished:
                scheduler.submit()
                for report in scheduler.poll():
                    done(report)
        except BaseException:
            scheduler.abandon()
            raise
        seconds = [report.sample_s + report.compute_s for report in scheduler.finished_reports]
        self._seconds_each[kind] = sum(seconds) / len(seconds)
        return scheduler

    def _busy_share(self, reports: Sequence[ShardReport]) -> float:
        """Seconds of computing on the critical path, if the shards were spread evenly."""
        total = sum(report.sample_s + report.compute_s for report in reports)
        return total / max(1, min(len(self._workers.ready), len(reports)))

    def _ask_learner(self, reference: Any, *, was_sent: bool = False) -> Any:
        """What the learner answers.

        Args:
            reference: to the answer.
            was_sent: whether the question holds objects of others. Where one of them is lost, a
                RayError gets out, and the learner has done nothing.
        """
        try:
            return answer(reference, self._patience.limit_s)
        except RayTaskError as error:
            cause = cause_of(error)
            if isinstance(cause, RayError) and not was_sent:
                raise LearnerLostError(first_line(cause)) from None
            raise cause from None
        except GetTimeoutError:
            raise self._end_learner(
                f"it gave no answer for {self._patience.limit_s:.0f} s"
            ) from None
        except ActorUnavailableError:  # it may have done what it was asked, or do it later
            raise self._end_learner("the connection to it was lost") from None
        except RayError as error:
            check_ray_now()
            # Ray's errors do not say whether the actor died or something that it was sent
            if was_sent and self._learner_is_alive():
                raise
            raise LearnerLostError(first_line(error)) from error

    def _end_learner(self, reason: str) -> LearnerLostError:
        """End a learner that cannot be relied on; the error to raise."""
        self._notify(f"the learner is replaced: {reason}")
        self._discard_learner()
        return LearnerLostError(reason)

    def _discard_learner(self) -> None:
        ray.kill(self._learner)
        if self._learner_place is not None:
            end_process(self._learner_place)
            self._learner_place = None

    def _place_learner(self) -> None:
        """Wait until it is built; it may have to open the data."""
        start_s = max(self._patience.limit_s, self._config.workers.start_timeout_s)
        try:
            self._learner_place = answer(self._learner.place.remote(), start_s)
        except RayTaskError as error:
            raise cause_of(error) from None
        except RayError as error:
            check_ray_now()
            raise LearnerLostError(first_line(error)) from error

    def _learner_is_alive(self) -> bool:
        try:
            # not its parameters: they may be large
            answer(self._learner.place.remote(), self._patience.limit_s)
        except RayError:
            return False
        return True
