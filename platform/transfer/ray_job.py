"""A transfer job on Ray Train: workers with a process group of torch, started again when lost."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from metaray.algorithms.errors import InputError
from metaray.platform.config import ComputeConfig
from metaray.platform.errors import WorkersLostError
from metaray.platform.monitor import TrainingWatch
from metaray.platform.monitoring.observer import Observer
from metaray.platform.monitoring.status import WorkerState
from metaray.platform.run_directory import RunDirectory
from metaray.platform.transfer.begin import fingerprint
from metaray.platform.transfer.blueprint import Plan
from metaray.platform.transfer.config import TransferWorkersConfig

_POLL_S = 0.2
_SETTINGS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # how soon a lost worker is noticed
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}


@contextmanager
def ray_with_room(workers: TransferWorkersConfig, address: str) -> Iterator[None]:
    """Ray for the time of the block, with what Ray Train reads from the environment.

    Raises:
        InputError: the cluster has no room for the workers.
        ClusterError: the cluster cannot be reached.
    """
    import metaray
    from metaray.cluster.connect import connected

    with connected(address, metaray), _environment(workers):
        check_room(workers)
        yield


def train_on_ray(plan: Plan, run: RunDirectory, watch: TrainingWatch, observer: Observer) -> bool:
    """Train and test on the workers of ``plan``; whether the job was asked to stop.

    Raises:
        TrainingError: the job failed, or lost workers too often.
    """
    import ray

    from metaray.platform.transfer.ray_keeper import start_keeper

    keeper = start_keeper(run, fingerprint(plan), plan.config.train.keep_checkpoints)
    fit = _Fit(plan, keeper)
    fit.start()
    asked_to_stop = False
    workers: list[WorkerState] = []
    with observer.among(lambda: [*workers]):
        while fit.is_alive():
            fit.join(_POLL_S)
            workers[:] = _tell(keeper, watch)
            if watch.stop_requested() and not asked_to_stop:
                asked_to_stop = True
                ray.get(keeper.stop.remote())
        _tell(keeper, watch)
    ray.get(keeper.close.remote())
    return fit.stopped()


class _Fit(Thread):
    """``TorchTrainer.fit`` in a thread: in the main one it would take Ctrl-C for itself."""

    def __init__(self, plan: Plan, keeper: Any) -> None:
        super().__init__(daemon=True)
        self._plan = plan
        self._keeper = keeper
        self._result: Any = None
        self._error: Exception | None = None

    def run(self) -> None:
        """Until the workers are done or lost too often."""
        with tempfile.TemporaryDirectory(prefix="metaray-") as storage:
            try:
                self._result = _trainer(self._plan, self._keeper, Path(storage)).fit()
            except Exception as error:
                self._error = error

    def stopped(self) -> bool:
        """Whether training ended since it was asked to."""
        if self._error is None:
            return bool(self._result.return_value)
        limit = self._plan.config.workers.max_restarts
        raise WorkersLostError(
            f"Ray Train gave up ({_gist(self._error)}; workers.max_restarts = {limit}): look for "
            "lack of memory or room, then continue with --resume"
        ) from self._error


def _trainer(plan: Plan, keeper: Any, storage: Path) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from metaray.platform.transfer.process_group import BoundTorchConfig
    from metaray.platform.transfer.ray_worker import work

    workers = plan.config.workers
    most = workers.count
    count: Any = most if workers.min_count is None else (workers.min_count, most)
    limits: Any = {"max_failures": workers.max_restarts, "controller_failure_limit": 2}
    train: Any = work  # Ray's types know no result of it
    return TorchTrainer(
        train,
        train_loop_config={"plan": plan, "keeper": keeper},
        torch_config=BoundTorchConfig(backend="nccl" if workers.gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=count,
            use_gpu=workers.gpus > 0,
            resources_per_worker=_needs(workers),
        ),
        run_config=RunConfig(
            name="job",
            storage_path=str(storage),
            failure_config=FailureConfig(**limits),
        ),
    )


def check_room(workers: TransferWorkersConfig) -> None:
    """Raise InputError where the cluster cannot hold the workers: Ray Train would wait for more."""
    import ray

    needs = _needs(workers)
    room = (
        sum(
            int(
                min((node["Resources"].get(kind, 0) + 1e-9) // need for kind, need in needs.items())
            )
            for node in ray.nodes()
            if node["Alive"]
        )
        if needs
        else workers.count
    )
    least = workers.count if workers.min_count is None else workers.min_count
    if room < least:
        has = ray.cluster_resources()
        each = " and ".join(f"{need:g} {kind}" for kind, need in needs.items())
        raise InputError(
            f"there is room for {room} of {least} workers: each needs {each}, the cluster has "
            f"{has.get('CPU', 0):g} CPU and {has.get('GPU', 0):g} GPU; lower workers.count, "
            "workers.cpus or workers.gpus"
        )


def _needs(workers: ComputeConfig) -> dict[str, float]:
    needs = {"CPU": workers.cpus, "GPU": workers.gpus}
    return {kind: need for kind, need in needs.items() if need}


@contextmanager
def _environment(workers: ComputeConfig) -> Iterator[None]:
    """What Ray Train reads from the environment, which is put back."""
    values = _SETTINGS | {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(workers.start_timeout_s)}
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


def _tell(keeper: Any, watch: TrainingWatch) -> list[WorkerState]:
    """Show what is new; raise what the job failed of. The workers, as they are now."""
    import ray

    from metaray.platform.transfer.ray_keeper import News

    news: News = ray.get(keeper.news.remote())
    for row in news.rows:
        watch.on_row(row)
    for message in news.messages:
        watch.notify(message)
    if news.failure is not None:
        raise news.failure
    return news.workers


def _gist(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
