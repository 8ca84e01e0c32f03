"""One batch of requests over a changing set of Ray workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from metaray.platform.common.errors import StateLostError, WorkersLostError, first_line
from metaray.platform.common.ray_errors import cause_of
from metaray.platform.config.meta import RunConfig
from metaray.platform.distributed.ray_alive import answer, check_ray, check_ray_now
from metaray.platform.distributed.resources import needs_text, process_needs
from metaray.platform.distributed.worker_group import WorkerGroup, WorkerHandle
from metaray.platform.training.meta.messages import ShardReport, ShardRequest

_IN_FLIGHT = 2  # requests per worker: the next one is there when the current one is done
_POLL_S = 1.0


class Scheduler:
    """Submits requests, takes reports in, and submits again what a lost worker had."""

    def __init__(
        self,
        config: RunConfig,
        workers: WorkerGroup,
        requests: Sequence[ShardRequest],
        state: Any,
        stall_s: float,
        fetches: bool = False,
    ) -> None:
        """Nothing is submitted yet.

        Args:
            config: of the run.
            workers: that compute.
            requests: what to compute.
            state: reference to the parameters.
            stall_s: seconds without an answer after which a worker is asked, then replaced.
            fetches: whether ``payloads`` are wanted in this process, and not as references.
        """
        self._config = config
        self._workers = workers
        self._requests = requests
        self._state = state
        self._stall_s = stall_s
        self._fetches = fetches
        self._waiting = deque(range(len(requests)))
        self._in_flight: dict[Any, tuple[int, WorkerHandle, Any]] = {}
        self._tries = [0] * len(requests)
        self._idle_since = monotonic()
        self.payloads: list[Any] = [None] * len(requests)
        self.reports: list[ShardReport | None] = [None] * len(requests)
        self.redone = 0
        self.queue_depth = 0

    @property
    def unfinished(self) -> bool:
        """Whether a report is missing."""
        return any(report is None for report in self.reports)

    @property
    def finished_reports(self) -> list[ShardReport]:
        """The reports that are there."""
        return [report for report in self.reports if report is not None]

    def submit(self) -> None:
        """Give waiting requests to the least loaded workers."""
        self._submit_waiting()
        self.queue_depth = max(self.queue_depth, len(self._waiting))

    def _submit_waiting(self) -> None:
        while self._waiting and self._workers.ready:
            worker = min(self._workers.ready, key=lambda w: w.load)
            if worker.load >= _IN_FLIGHT:
                return
            index = self._waiting.popleft()
            payload, report = worker.handle.run.options(num_returns=2).remote(
                self._requests[index], self._state
            )
            if not worker.load:
                worker.heard_s = monotonic()
            worker.load += 1
            self._in_flight[report] = (index, worker, payload)

    def poll(self) -> list[ShardReport]:
        """Wait for something to happen and take it in; the reports that arrived."""
        pending = [*self._in_flight, *self._workers.starting]
        resolved, _ = ray.wait(pending, num_returns=1, timeout=_POLL_S) if pending else ([], [])
        arrived = []
        for reference in resolved:
            if reference in self._in_flight:
                arrived += self._take_in(reference)
            else:
                self._workers.admit(reference)
        for worker in self._workers.stalled(self._stall_s):
            self._take_back(worker)
        self._workers.dismiss_idle()
        check_ray()
        self._check_alive()
        return arrived

    def abandon(self) -> None:
        """Expect no more answers."""
        for _, worker, _ in self._in_flight.values():
            worker.load -= 1
        self._in_flight.clear()

    def _take_back(self, worker: WorkerHandle) -> None:
        """Replace a worker that gives no answer; what it had goes to others."""
        waited = monotonic() - worker.heard_s
        self._workers.remove(worker, f"it gave no answer for {waited:.0f} s")
        had = {ref: index for ref, (index, of, _) in self._in_flight.items() if of is worker}
        for reference, index in sorted(had.items(), key=lambda item: -item[1]):
            del self._in_flight[reference]
            self._try_again(index)

    def _take_in(self, reference: Any) -> list[ShardReport]:
        index, worker, payload = self._in_flight.pop(reference)
        worker.load -= 1
        worker.heard_s, worker.question = monotonic(), None
        try:
            report: ShardReport = ray.get(reference)
            if self._fetches:
                payload = answer(payload, self._stall_s)
        except RayTaskError as error:  # the request itself failed: no other worker would do better
            cause = cause_of(error)
            if isinstance(cause, RayError):  # it never ran
                raise StateLostError(first_line(cause)) from None
            raise cause from None
        except RayError as error:
            check_ray_now()
            self._workers.remove(worker, first_line(error))
            self._try_again(index)
            return []
        self.payloads[index], self.reports[index] = payload, report
        return [report]

    def _try_again(self, index: int) -> None:
        self._tries[index] += 1
        self.redone += 1
        if self._tries[index] > self._config.workers.max_retries:
            raise WorkersLostError(
                f"{self._requests[index].label} lost its worker {self._tries[index]} times "
                f"(workers.max_retries = {self._config.workers.max_retries}): its tasks may need "
                "more memory than a worker has; lower train.shard_size or use fewer workers"
            )
        self._waiting.appendleft(index)

    def _check_alive(self) -> None:
        if self._workers.ready:
            self._idle_since = monotonic()
        elif monotonic() - self._idle_since > self._config.workers.start_timeout_s:
            raise WorkersLostError(cannot_start(self._config))


def cannot_start(config: RunConfig) -> str:
    """Why no worker came up: what each needs, and what there is."""
    wanted = needs_text(process_needs(config.workers))
    has = ray.cluster_resources()
    free = ray.available_resources()
    return (
        f"no worker could be started within {config.workers.start_timeout_s:g} s: each needs "
        f"{wanted}, the cluster has {has.get('CPU', 0):g} CPU ({free.get('CPU', 0):g} free) and "
        f"{has.get('GPU', 0):g} GPU ({free.get('GPU', 0):g} free); lower workers.cpus or "
        "workers.gpus, or wait for resources"
    )
