"""The worker actors of a Ray pool: who is starting, who is ready, who was lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from metaray.platform.common.errors import WorkersLostError, first_line
from metaray.platform.common.ray_errors import cause_of
from metaray.platform.config.meta import RunConfig
from metaray.platform.distributed.actors import start_worker
from metaray.platform.run.status import WorkerState, WorkerStates

_REMEMBERED = 10  # lost workers


@dataclass(eq=False)
class WorkerHandle:
    """One worker actor."""

    number: int
    handle: Any
    starting: Any
    """reference to its first answer"""
    pid: int | None = None
    node: str | None = None
    """address of its machine"""
    load: int = 0
    """requests in flight"""
    leaving: bool = field(default=False)

    def state(self, is_lost: bool = False) -> WorkerState:
        """For status.json and the views of it."""
        if is_lost:
            what: WorkerStates = "lost"
        elif self.pid is None:
            what = "starting"
        elif self.leaving:
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

    def admit(self, reference: Any) -> None:
        """Take in a worker whose ``starting`` reference has resolved."""
        worker = next(w for w in self._workers if w.starting is reference)
        try:
            worker.node, worker.pid = ray.get(reference)
        except RayTaskError as error:
            raise cause_of(error) from None
        except RayError as error:
            self.remove(worker, error)
            return
        if self._announce:
            self._notify(f"worker {worker.number} joined (process {worker.pid})")

    def remove(self, worker: WorkerHandle, error: RayError) -> None:
        """Remove a worker that died and start another in its place.

        Raises:
            WorkersLostError: more were lost than ``workers.max_restarts`` allows.
        """
        if worker not in self._workers:
            return  # one death fails every request that the worker had
        self._workers.remove(worker)
        ray.kill(worker.handle)
        self._lost_states.append(worker.state(is_lost=True))
        self.lost += 1
        limit = self._config.workers.max_restarts
        if self.lost > limit:
            raise WorkersLostError(
                f"lost {self.lost} workers, more than workers.max_restarts = {limit} (the last: "
                f"{first_line(error)}): look for lack of memory, then continue with --resume"
            )
        self._notify(f"worker {worker.number} was lost (process {worker.pid}), starting another")
        self._announce = True
        self._fill()

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
        return [w for w in self._workers if not w.leaving]

    def _fill(self) -> None:
        while len(self._staying) < self.wanted:
            handle = start_worker(self._config)
            self._workers.append(
                WorkerHandle(
                    number=self._next_number, handle=handle, starting=handle.place.remote()
                )
            )
            self._next_number += 1
