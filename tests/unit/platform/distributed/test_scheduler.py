"""Which requests go out together, with workers that only remember what they are asked."""

from __future__ import annotations

from typing import Any, cast

import pytest

from metaray.platform.config.meta import RunConfig
from metaray.platform.distributed.scheduler import Scheduler
from metaray.platform.distributed.worker_group import WorkerGroup, WorkerHandle
from metaray.platform.experiment.meta import META
from metaray.platform.training.meta.messages import ShardRequest, TrainRequest


class _Actor:
    """Its references are those of the calls, by number."""

    def __init__(self, asked: list[list[int]]) -> None:
        self._asked = asked

    @property
    def compute(self) -> _Actor:
        return self

    def options(self, num_returns: int) -> _Actor:
        assert num_returns == 2
        return self

    def remote(self, requests: list[ShardRequest], state: Any) -> tuple[str, str]:
        self._asked.append([cast(TrainRequest, request).shard for request in requests])
        return f"payloads {len(self._asked)}", f"reports {len(self._asked)}"


class _Group:
    """Workers that are ready; one that is removed is not replaced."""

    def __init__(self, workers: list[WorkerHandle]) -> None:
        self.ready = workers

    def remove(self, worker: WorkerHandle, reason: str) -> None:
        self.ready.remove(worker)


def scheduled(
    shards: int, workers: int, each_s: float = 10.0
) -> tuple[Scheduler, list[list[int]], _Group]:
    """A scheduler that has submitted, the shards of each call, and the workers."""
    asked: list[list[int]] = []
    group = _Group(
        [WorkerHandle(number=n, handle=_Actor(asked), starting=None) for n in range(workers)]
    )
    requests = [
        TrainRequest(step=0, shard=shard, first_task=shard, num_tasks=1) for shard in range(shards)
    ]
    config: RunConfig = META.load(None, [])
    scheduler = Scheduler(config, cast(WorkerGroup, group), requests, None, 60, each_s)
    scheduler.submit()
    return scheduler, asked, group


@pytest.mark.parametrize(
    ("shards", "workers", "calls"),
    [
        (1, 2, [[0]]),
        (2, 2, [[0], [1]]),
        (3, 2, [[0, 1], [2]]),
        (4, 2, [[0, 1], [2, 3]]),
        (4, 1, [[0], [1]]),  # the rest waits: a worker that joins takes some of it
        (3, 4, [[0], [1], [2]]),
    ],
)
def test_a_step_is_a_call_for_each_worker(
    shards: int, workers: int, calls: list[list[int]]
) -> None:
    assert scheduled(shards, workers)[1] == calls


def test_long_requests_wait_for_the_fastest_worker() -> None:
    scheduler, asked, _ = scheduled(16, 2, each_s=3.0)
    assert asked == [[0], [1], [2], [3]]
    assert scheduler.queue_depth == 12


def test_short_requests_are_not_a_call_each() -> None:
    assert scheduled(16, 2, each_s=0.03)[1] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
        [12, 13, 14, 15],
    ]
    assert scheduled(16, 2, each_s=1e-4)[1] == [list(range(8)), list(range(8, 16))]


def test_what_a_lost_worker_had_is_asked_again() -> None:
    """In calls of consecutive requests: the sums of calls are put in order by their first one."""
    scheduler, asked, group = scheduled(6, 4, each_s=0.01)
    assert asked == [[0, 1], [2, 3], [4, 5]]
    for lost in (group.ready[0], group.ready[2]):
        scheduler._take_back(lost)
    asked.clear()
    scheduler.submit()
    assert sorted(asked) == [[0, 1], [4, 5]]
    assert scheduler.redone == 4
