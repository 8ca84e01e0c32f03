"""The worker actors of a Ray pool: who is starting, who is ready, who was lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from time import monotonic
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from metaray.platform.common.errors import WorkersLostError, first_line
from metaray.platform.common.ray_errors import cause_of
from metaray.platform.config.meta import RunConfig
from metaray.platform.distributed.actors import start_worker
from metaray.platform.distributed.processes import Place, end_process
from metaray.platform.distributed.ray_alive import check_ray_now
from metaray.platform.run.status import WorkerState, WorkerStates

_REMEMBERED = 10  # lost workers
_QUESTION_S = 15.0
"""how long a worker has to say that it lives"""


@dataclass(eq=False)
class WorkerHandle:
    """One worker actor."""

    number: int
    handle: Any
    starting: Any
    """reference to its first answer"""
    place: Place | None = None
    """None until it is ready"""
    load: int = 0
    """requests in flight"""
    heard_s: float = 0.0
    """when it last gave an answer, or got a request while it had none; of ``monotonic``"""
    question: Any = None
    """reference to its answer to whether it lives, where it was asked"""
    asked_s: float = 0.0
    """when"""
    leaving: bool = False
    """it takes no more requests"""
    draining: bool = False
    """its node is about to end: it leaves once another worker is ready"""

    @property
    def pid(self) -> int | None:
        """Of its process, once it is ready."""
        return None if self.place is None else self.place.pid

    @property
    def node(self) -> str | None:
        """Address of its machine, once it is ready."""
        return None if self.place is None else self.place.node

    def state(self, is_lost: bool = False) -> WorkerState:
        """For status.json and the views of it."""
        if is_lost:
            what: WorkerStates = "lost"
        elif self.pid is None:
            what = "starting"
        elif self.leaving or self.draining:
            what = "leaving"
        else:
            what = "busy" if self.load else "idle"
        return WorkerState(number=self.number, state=what, pid=self.pid, node=self.node)


class WorkerGroup:
    """Keeps the number of workers at the wanted count, within the restarts allowed."""

    def __init__(self, config: RunConfig, notify: Callable[[str], None]) -> None:
        self._config = config
        self._notify = notify
        self._workers: list[WorkerHandle] = []
        self._next_number = 0
        self._announce = False
        self._lost_states: deque[WorkerState] = deque(maxlen=_REMEMBERED)
        self.lost = 0
        self._preempted = 0
        self.wanted = config.workers.count
        self._fill()

    @property
    def ready(self) -> list[WorkerHandle]:
        """Workers that take requests."""
        return [w for w in self._workers if w.pid is not None and not w.leaving]

    @property
    def starting(self) -> list[Any]:
        """References that resolve when a starting worker is ready or failed."""
        return [w.starting for w in self._workers if w.pid is None]

    def states(self) -> list[WorkerState]:
        """The last workers that were lost, then those that are there."""
        return [*self._lost_states, *(worker.state() for worker in [*self._workers])]

    def resize(self, count: int) -> None:
        """Set the target to ``count`` workers. One that leaves finishes what it has in hand."""
        self._announce = True
        self.wanted = count
        while len(self._staying) > count:
            self._staying[-1].leaving = True
        self._fill()
        self.dismiss_idle()

    def leave(self, nodes: Collection[str]) -> None:
        """Start others in place of workers on ``nodes``, which are about to end.

        They work on until one of the others is ready, or their node ends.
        """
        for worker in self._workers:
            if worker.place is not None and worker.place.node_id in nodes and not worker.draining:
                worker.draining = self._announce = True
                who = f"worker {worker.number} (process {worker.pid} on {worker.node})"
                self._notify(f"{who} moves: its node is preempted or drained")
        if any(not worker.draining for worker in self.ready):
            for worker in self._workers:
                worker.leaving |= worker.draining
        self._fill()
        self.dismiss_idle()

    def admit(self, reference: Any) -> None:
        """Take in a worker whose ``starting`` reference has resolved."""
        worker = next(w for w in self._workers if w.starting == reference)
        try:
            worker.place = ray.get(reference)
        except RayTaskError as error:
            raise cause_of(error) from None
        except RayError as error:
            check_ray_now()
            self.remove(worker, first_line(error))
            return
        if self._announce:
            self._notify(f"worker {worker.number} joined (process {worker.pid})")

    def remove(self, worker: WorkerHandle, reason: str) -> None:
        """Remove a worker that died or does not answer, and start another in its place.

        Raises:
            WorkersLostError: more were lost than ``workers.max_restarts`` allows.
        """
        if worker not in self._workers:
            return  # one death fails every request that the worker had
        self._workers.remove(worker)
        ray.kill(worker.handle)
        if worker.place is not None:
            end_process(worker.place)
        self._lost_states.append(worker.state(is_lost=True))
        self.lost += 1
        self._preempted += worker.draining
        limit = self._config.workers.max_restarts
        if self.lost - self._preempted > limit:
            raise WorkersLostError(
                f"lost {self.lost} workers, more than workers.max_restarts = {limit} (the last: "
                f"{reason}): look for lack of memory, then continue with --resume"
            )
        self._notify(f"worker {worker.number} was lost (process {worker.pid}), starting another")
        self._announce = True
        self._fill()

    def stalled(self, limit_s: float) -> list[WorkerHandle]:
        """Workers that are to be removed, since they give no answer.

        One that owes an answer for ``limit_s`` is asked whether it lives. If it says so, it only
        computes for long, and is asked again after as long; if not, it is one of these.
        """
        return [
            worker for worker in self.ready if worker.load and self._is_stalled(worker, limit_s)
        ]

    def _is_stalled(self, worker: WorkerHandle, limit_s: float) -> bool:
        now = monotonic()
        if worker.question is None:
            if now - worker.heard_s > limit_s:
                worker.question, worker.asked_s = worker.handle.place.remote(), now
                who = f"worker {worker.number} (process {worker.pid} on {worker.node})"
                self._notify(f"{who}: no answer for {now - worker.heard_s:.0f} s")
            return False
        if ray.wait([worker.question], timeout=0)[0]:  # alive, or dead, which its requests tell
            worker.question, worker.heard_s = None, now
            return False
        return now - worker.asked_s > min(_QUESTION_S, limit_s)

    def dismiss_idle(self) -> None:
        """End leaving workers that have nothing in hand."""
        for worker in [w for w in self._workers if w.leaving and w.load == 0]:
            self._workers.remove(worker)
            ray.kill(worker.handle)
            self._notify(f"worker {worker.number} left (process {worker.pid})")

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            ray.kill(worker.handle)
        self._workers.clear()

    @property
    def _staying(self) -> list[WorkerHandle]:
        return [w for w in self._workers if not w.leaving and not w.draining]

    def _fill(self) -> None:
        while len(self._staying) < self.wanted:
            handle = start_worker(self._config)
            self._workers.append(
                WorkerHandle(
                    number=self._next_number, handle=handle, starting=handle.place.remote()
                )
            )
            self._next_number += 1
