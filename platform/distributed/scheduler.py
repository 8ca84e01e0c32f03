"""One batch of requests over a changing set of Ray workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf
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

_IN_FLIGHT = 2  # calls per worker: the next one is there when the current one is done
_CALL_S = 0.1
"""how long a call should compute: its messages cost several milliseconds"""
_POLL_S = 1.0


@dataclass(frozen=True)
class _Call:
    """Consecutive requests that a worker computes in one call."""

    indices: Sequence[int]
    worker: WorkerHandle
    payloads: Any
    """reference to the list of them"""


class Scheduler:
    """Submits requests, takes reports in, and submits again what a lost worker had.

    A worker gets its share of what is left in one call, because each call costs several
    milliseconds of messages. A large share is divided, so that a fast worker can take more than
    its own, but not into calls shorter than ``_CALL_S``.
    """

    def __init__(
        self,
        config: RunConfig,
        workers: WorkerGroup,
        requests: Sequence[ShardRequest],
        state: Any,
        stall_s: float,
        each_s: float = inf,
        fetches: bool = False,
    ) -> None:
        """Nothing is submitted yet.

        Args:
            config: of the run.
            workers: that compute.
            requests: what to compute.
            state: reference to the parameters.
            stall_s: seconds without an answer after which a worker is asked, then replaced.
            each_s: seconds that a request is expected to take.
            fetches: whether ``payloads`` are wanted in this process, and not as references.
        """
        self._config = config
        self._workers = workers
        self._requests = requests
        self._state = state
        self._stall_s = stall_s
        self._at_once = max(1, ceil(_CALL_S / each_s))
        self._fetches = fetches
        self._waiting = deque(range(len(requests)))
        self._in_flight: dict[Any, _Call] = {}
        self._payloads: dict[int, Any] = {}
        self._tries = [0] * len(requests)
        self._idle_since = monotonic()
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

    @property
    def payloads(self) -> list[Any]:
        """Those of each call, in the order of the requests: references to lists, or the lists."""
        return [self._payloads[first] for first in sorted(self._payloads)]

    def submit(self) -> None:
        """Give waiting requests to the least loaded workers."""
        self._submit_waiting()
        self.queue_depth = max(self.queue_depth, len(self._waiting))

    def _submit_waiting(self) -> None:
        while self._waiting and self._workers.ready:
            worker = min(self._workers.ready, key=lambda w: w.load)
            if worker.load >= _IN_FLIGHT:
                return
            indices = self._next_indices()
            payloads, reports = worker.handle.compute.options(num_returns=2).remote(
                [self._requests[index] for index in indices], self._state
            )
            if not worker.load:
                worker.heard_s = monotonic()
            worker.load += 1
            self._in_flight[reports] = _Call(indices, worker, payloads)

    def _next_indices(self) -> list[int]:
        """The next waiting requests that go out in one call."""
        in_hand = sum(len(call.indices) for call in self._in_flight.values())
        share = ceil((in_hand + len(self._waiting)) / len(self._workers.ready))
        size = share if share <= _IN_FLIGHT else min(share, self._at_once)
        indices = [self._waiting.popleft()]
        while len(indices) < size and self._waiting and self._waiting[0] == indices[-1] + 1:
            indices.append(self._waiting.popleft())
        return indices

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
        for call in self._in_flight.values():
            call.worker.load -= 1
        self._in_flight.clear()

    def _take_back(self, worker: WorkerHandle) -> None:
        """Replace a worker that gives no answer; what it had goes to others."""
        waited = monotonic() - worker.heard_s
        self._workers.remove(worker, f"it gave no answer for {waited:.0f} s")
        had = {ref: call for ref, call in self._in_flight.items() if call.worker is worker}
        for reference, call in sorted(had.items(), key=lambda item: -item[1].indices[0]):
            del self._in_flight[reference]
            self._try_again(call.indices)

    def _take_in(self, reference: Any) -> list[ShardReport]:
        call = self._in_flight.pop(reference)
        worker, payloads = call.worker, call.payloads
        worker.load -= 1
        worker.heard_s, worker.question = monotonic(), None
        try:
            reports: list[ShardReport] = ray.get(reference)
            if self._fetches:
                payloads = answer(payloads, self._stall_s)
        except RayTaskError as error:  # the request itself failed: no other worker would do better
            cause = cause_of(error)
            if isinstance(cause, RayError):  # it never ran
                raise StateLostError(first_line(cause)) from None
            raise cause from None
        except RayError as error:
            check_ray_now()
            self._workers.remove(worker, first_line(error))
            self._try_again(call.indices)
            return []
        self._payloads[call.indices[0]] = payloads
        for index, report in zip(call.indices, reports, strict=True):
            self.reports[index] = report
        return reports

    def _try_again(self, indices: Sequence[int]) -> None:
        for index in reversed(indices):
            self._tries[index] += 1
            self.redone += 1
            if self._tries[index] > self._config.workers.max_retries:
                raise WorkersLostError(
                    f"{self._requests[index].label} lost its worker {self._tries[index]} times "
                    f"(workers.max_retries = {self._config.workers.max_retries}): its tasks may "
                    "need more memory than a worker has; lower train.shard_size or use fewer "
                    "workers"
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
