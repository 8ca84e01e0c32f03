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
from metaray.platform.config.schema import RunConfig
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
    """orders in flight"""
    leaving: bool = field(default=False)

    def state(self, is_lost: bool = False) -> WorkerState:
        """For those who look on."""
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
        self._members: list[WorkerHandle] = []
        self._next_number = 0
        self._announce = False
        self._gone: deque[WorkerState] = deque(maxlen=_REMEMBERED)
        self.lost = 0
        self.wanted = config.workers.count
        self._fill()

    @property
    def ready(self) -> list[WorkerHandle]:
        """Workers that take orders."""
        return [m for m in self._members if m.pid is not None and not m.leaving]

    @property
    def starting(self) -> list[Any]:
        """References that resolve when a starting worker is ready or failed."""
        return [m.starting for m in self._members if m.pid is None]

    def states(self) -> list[WorkerState]:
        """The latest that were lost, then those that are there."""
        return [*self._gone, *(member.state() for member in [*self._members])]

    def resize(self, count: int) -> None:
        """Want ``count`` workers from now on. One that leaves finishes what it has in hand."""
        self._announce = True
        self.wanted = count
        while len(self._staying) > count:
            self._staying[-1].leaving = True
        self._fill()
        self.dismiss_idle()

    def admit(self, reference: Any) -> None:
        """Take in a worker whose ``starting`` reference has resolved."""
        member = next(m for m in self._members if m.starting is reference)
        try:
            member.node, member.pid = ray.get(reference)
        except RayTaskError as error:
            raise cause_of(error) from None
        except RayError as error:
            self.remove(member, error)
            return
        if self._announce:
            self._notify(f"worker {member.number} joined (process {member.pid})")

    def remove(self, member: WorkerHandle, error: RayError) -> None:
        """Strike off a worker that died and start another in its place.

        Raises:
            WorkersLostError: more were lost than ``workers.max_restarts`` allows.
        """
        if member not in self._members:
            return  # one death fails every order that the worker had
        self._members.remove(member)
        ray.kill(member.handle)
        self._gone.append(member.state(is_lost=True))
        self.lost += 1
        limit = self._config.workers.max_restarts
        if self.lost > limit:
            raise WorkersLostError(
                f"lost {self.lost} workers, more than workers.max_restarts = {limit} (the last: "
                f"{first_line(error)}): look for lack of memory, then continue with --resume"
            )
        self._notify(f"worker {member.number} was lost (process {member.pid}), starting another")
        self._announce = True
        self._fill()

    def dismiss_idle(self) -> None:
        """End leaving workers that have nothing in hand."""
        for member in [m for m in self._members if m.leaving and m.load == 0]:
            self._members.remove(member)
            ray.kill(member.handle)
            self._notify(f"worker {member.number} left (process {member.pid})")

    def close(self) -> None:
        """End all workers."""
        for member in self._members:
            ray.kill(member.handle)
        self._members.clear()

    @property
    def _staying(self) -> list[WorkerHandle]:
        return [m for m in self._members if not m.leaving]

    def _fill(self) -> None:
        while len(self._staying) < self.wanted:
            handle = start_worker(self._config)
            self._members.append(
                WorkerHandle(
                    number=self._next_number, handle=handle, starting=handle.place.remote()
                )
            )
            self._next_number += 1
