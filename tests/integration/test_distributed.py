"""The same bits from one process, one worker, two workers, and workers that are killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Command, arguments  # type: ignore[attr-defined]
from forks import parts_of
from shared_ray import RAY

from metaray.algorithms.registry import METHODS
from metaray.platform.common.errors import LearnerLostError, NonFiniteError, WorkersLostError
from metaray.platform.config.meta import RunConfig
from metaray.platform.experiment.meta import META
from metaray.platform.run.checkpoint import Checkpoint, params_sha256
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.evaluation import evaluate
from metaray.platform.training.meta.messages import EvaluateRequest, train_requests
from metaray.platform.training.meta.pool import LocalPool, Pool

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]
OTHER_FAMILIES = ("reptile", "protonet", "baseline")


@pytest.fixture(scope="module", autouse=True)
def _ray() -> None:
    RAY.begin()


def config_of(tiny: list[str], *more: str) -> RunConfig:
    return META.load(None, [*tiny, "workers.cpus=0.5", *more])


def ray_pool(config: RunConfig, notes: list[str] | None = None) -> Any:
    from metaray.platform.distributed.ray_pool import RayPool

    return RayPool(config, (notes if notes is not None else []).append)


def digest_after(pool: Pool, config: RunConfig, steps: int = 4) -> str:
    for step in range(steps):
        pool.train_step(train_requests(step, config.train))
    return params_sha256(pool.snapshot())


def listening_addresses() -> set[str]:
    """Addresses on which this process and all below it accept TCP connections."""
    addresses = set()
    for process in parts_of(psutil.Process()):
        with suppress(psutil.NoSuchProcess):  # Ray starts and ends processes all the time
            connections = process.net_connections(kind="tcp")
            addresses |= {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
    return addresses


@dataclass(frozen=True)
class Started:
    """A pool that several tests use one after another, and what it has told so far.

    Their order is one in which few workers start.
    """

    pool: Any
    untrained: Checkpoint
    notes: list[str]

    def anew(self, count: int) -> None:
        """Nothing is learned, and there are ``count`` workers."""
        self.pool.resize(count)
        self.pool.wait_for_workers(count)
        self.pool.restore(self.untrained)
        self.notes.clear()


@pytest.fixture(scope="module")
def config(tiny: list[str]) -> RunConfig:
    """Eight shards a step; the last is smaller."""
    return config_of(tiny, "workers.count=1", "train.meta_batch_size=23")


@pytest.fixture(scope="module")
def started(config: RunConfig) -> Iterator[Started]:
    """Its processes take seconds to start."""
    notes: list[str] = []
    pool = ray_pool(config, notes)
    yield Started(pool, pool.snapshot(), notes)
    pool.close()


@pytest.fixture(scope="module")
def expected(config: RunConfig) -> str:
    """The digest after six steps in this process."""
    return digest_after(LocalPool(Blueprint.open(config)), config, 6)


def test_one_and_two_workers_give_the_bits_of_one_process(
    config: RunConfig, started: Started
) -> None:
    assert_same_bits(config, started, (1, 2))


@pytest.mark.parametrize(
    ("method", "counts"),
    [
        *((name, (1,)) for name in OTHER_FAMILIES),
        *(pytest.param(name, (1, 2), marks=pytest.mark.slow) for name in METHODS if name != "maml"),
    ],
)
def test_so_it_is_with_other_methods(
    tiny_of: Callable[[str], list[str]], method: str, counts: tuple[int, ...]
) -> None:
    """Seven tasks in shards of three: the last shard is smaller.

    ``tests/unit`` has every method with workers that share this process.
    """
    config = config_of([*tiny_of(method), "workers.count=1"])
    pool = ray_pool(config)
    try:
        assert_same_bits(config, Started(pool, pool.snapshot(), []), counts)
    finally:
        pool.close()


def assert_same_bits(config: RunConfig, started: Started, counts: Sequence[int]) -> None:
    """In training and in tests, with each of ``counts`` workers."""
    blueprint = Blueprint.open(config)
    reference = LocalPool(blueprint)
    expected = digest_after(reference, config)
    predictions = evaluate(reference, blueprint, "test", 10).headline()
    for count in counts:
        started.anew(count)
        assert digest_after(started.pool, config) == expected
        assert evaluate(started.pool, blueprint, "test", 10).headline() == predictions


def test_killed_workers_are_replaced_and_change_nothing(
    config: RunConfig, started: Started, expected: str
) -> None:
    started.anew(2)
    pool, lost = started.pool, started.pool.health.lost
    recomputed = 0
    for step in range(6):
        if step in (1, 3):  # in the middle of a step: its requests are already queued
            victim = pool._workers.ready[0].pid
            os.kill(victim, signal.SIGKILL)
        recomputed += pool.train_step(train_requests(step, config.train)).recomputed
    assert params_sha256(pool.snapshot()) == expected
    assert pool.health.lost == lost + 2
    assert recomputed > 0
    assert sum("was lost" in note for note in started.notes) == 2
    pool.wait_for_workers(2)


def test_workers_join_and_leave_a_running_job(
    config: RunConfig, started: Started, expected: str
) -> None:
    started.anew(2)
    pool, lost = started.pool, started.pool.health.lost
    for step, count in enumerate([2, 3, 3, 2, 1, 1]):
        pool.resize(count)
        if step == 2:
            pool.wait_for_workers(3)
        pool.train_step(train_requests(step, config.train))
    assert params_sha256(pool.snapshot()) == expected
    assert pool.health.alive == 1
    assert pool.health.lost == lost


@dataclass(frozen=True)
class Notice:
    """In place of Ray's: a machine that really ends would take this test with it."""

    ids: frozenset[str]


def test_workers_and_learner_leave_a_node_that_is_about_to_end(
    config: RunConfig, started: Started, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    started.anew(1)
    pool, lost = started.pool, started.pool.health.lost
    (worker,) = pool._workers.ready
    worker.place = worker.place._replace(node_id="preempted")
    pool._learner_place = pool._learner_place._replace(node_id="preempted")
    before = {worker.pid, pool._learner_place.pid}
    monkeypatch.setattr(pool, "_draining", Notice(frozenset(["preempted"])))
    for step in range(6):
        if step == 3:  # until then the old ones may compute
            if worker in pool._workers.ready:
                pool.wait_for_workers(2)
            if pool._next_learner is not None:
                ray.get(pool._next_place)
        pool.train_step(train_requests(step, config.train))
    assert params_sha256(pool.snapshot()) == expected
    assert not before & {pool._learner_place.pid, *(state.pid for state in pool.workers())}
    assert pool.health.lost == lost
    assert "the learner moves: its node is preempted or drained" in started.notes
    assert sum("moves: its node" in note for note in started.notes) == 2


@pytest.mark.slow
def test_a_stopped_worker_and_a_stopped_learner_are_replaced_and_change_nothing(
    tiny: list[str],
) -> None:
    """SIGSTOP leaves a process that is there and never answers, as a dead network does."""
    config = config_of(
        tiny, "workers.count=2", "train.meta_batch_size=24", "workers.stall_timeout_s=4"
    )
    expected = digest_after(LocalPool(Blueprint.open(config)), config, 4)
    notes: list[str] = []
    pool = ray_pool(config, notes)
    try:
        pool.wait_for_workers(2)
        pool.train_step(train_requests(0, config.train))
        stopped = pool._workers.ready[0].pid
        os.kill(stopped, signal.SIGSTOP)
        assert pool.train_step(train_requests(1, config.train)).recomputed > 0
        assert not psutil.pid_exists(stopped) or _is_ending(stopped)
        assert [note for note in notes if f"(process {stopped} on " in note and "no answer" in note]
        assert pool.health.lost == 1
        pool.wait_for_workers(2)
        checkpoint = pool.snapshot()
        os.kill(pool._learner_place.pid, signal.SIGSTOP)
        with pytest.raises(LearnerLostError, match="it gave no answer for 4 s"):
            pool.train_step(train_requests(2, config.train))
        pool.restore(checkpoint)
        for step in (2, 3):
            pool.train_step(train_requests(step, config.train))
        assert params_sha256(pool.snapshot()) == expected
    finally:
        pool.close()


def _is_ending(pid: int) -> bool:
    """Killed, and not yet waited for by the process that started it."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    return True


def test_a_lost_learner_is_started_again_from_a_checkpoint(
    config: RunConfig, started: Started, expected: str
) -> None:
    """Killed by its process id, as the kernel or Ray's memory monitor would."""
    started.anew(1)
    pool = started.pool
    digest_after(pool, config, 2)
    checkpoint = pool.snapshot()
    os.kill(pool._learner_place.pid, signal.SIGKILL)
    with pytest.raises(LearnerLostError):
        pool.train_step(train_requests(2, config.train))
    pool.restore(checkpoint)
    for step in (2, 3, 4, 5):
        pool.train_step(train_requests(step, config.train))
    assert params_sha256(pool.snapshot()) == expected


def test_parameters_that_are_lost_before_workers_have_them_are_asked_for_again(
    config: RunConfig, started: Started, expected: str
) -> None:
    """As those of a learner whose node has gone, where the learner itself has moved."""
    import ray

    class Owner:
        def state(self) -> None:
            return None

    started.anew(1)
    pool, lost = started.pool, started.pool.health.lost
    owner = ray.remote(Owner).options(num_cpus=0).remote()
    ray.kill(owner)
    for step in range(6):
        if step in (1, 3):
            pool._state = owner.state.remote()
        if step == 3:
            pool.evaluate(
                [EvaluateRequest(split="val", first_episode=0, num_episodes=2)],
                None,
                lambda episodes: None,
            )
        pool.train_step(train_requests(step, config.train))
    assert params_sha256(pool.snapshot()) == expected
    assert pool.health.lost == lost
    assert sum("the parameters were lost" in note for note in started.notes) == 2


def test_predictions_that_are_lost_with_their_node_are_made_again(
    config: RunConfig, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.exceptions import ObjectLostError

    from metaray.platform.distributed import scheduler

    started.anew(1)
    blueprint, answer = Blueprint.open(config), scheduler.answer
    before = evaluate(started.pool, blueprint, "val", 8).headline()
    failures = [ObjectLostError("", None, "")]

    def lossy(reference: Any, limit_s: float) -> Any:
        if failures:
            raise failures.pop()
        return answer(reference, limit_s)

    monkeypatch.setattr(scheduler, "answer", lossy)
    assert evaluate(started.pool, blueprint, "val", 8).headline() == before
    assert not failures


def test_what_cannot_be_placed_is_said_with_what_there_is(tiny: list[str]) -> None:
    config = config_of(tiny, "workers.count=1", "workers.start_timeout_s=1").model_copy()
    config = config.model_copy(
        update={"workers": config.workers.model_copy(update={"cpus": 4096.0})}
    )
    with pytest.raises(WorkersLostError, match=r"each needs 4096 CPU, the cluster has \d+ CPU"):
        ray_pool(config)


def test_the_embedded_ray_listens_on_loopback_only() -> None:
    assert listening_addresses() - {"::ffff:127.0.0.1"} == {"127.0.0.1"}


def test_another_program_s_ray_is_not_taken_for_a_cluster(
    process: Command, tiny: list[str], tmp_path: Path
) -> None:
    options = arguments([*tiny, "workers.count=1"])
    result = process("train", "--address", "auto", "--out", tmp_path / "run", *options)
    assert result.returncode == 2
    assert "no Ray cluster was started on this machine" in result.stderr


def test_a_non_finite_shard_stops_before_the_update_and_deaths_are_bounded(
    tiny: list[str],
) -> None:
    """The same pool: it continues after the first, and allows no death."""
    sets = ["workers.count=1", "workers.max_restarts=0"]
    config = config_of(tiny, *sets, "method.inner_lr=1e30", "method.inner_steps=3")
    pool = ray_pool(config)
    try:
        before = params_sha256(pool.snapshot())
        with pytest.raises(NonFiniteError, match=r"step 0, shard 0 \(tasks 0 to 2\)"):
            pool.train_step(train_requests(0, config.train))
        assert params_sha256(pool.snapshot()) == before
        os.kill(pool._workers.ready[0].pid, signal.SIGKILL)
        with pytest.raises(
            WorkersLostError, match="lost 1 workers, more than workers.max_restarts"
        ):
            digest_after(pool, config)
    finally:
        pool.close()
