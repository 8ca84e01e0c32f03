"""A transfer job on Ray Train: workers with a process group of torch, started again when lost."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.common.errors import WorkersLostError
from metaray.platform.config.schema import ComputeConfig
from metaray.platform.config.transfer import TransferWorkersConfig
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.status import WorkerState
from metaray.platform.training.transfer.blueprint import Plan
from metaray.platform.training.transfer.initialization import fingerprint

if TYPE_CHECKING:
    from metaray.platform.distributed.ray_writer import RunUpdate

_POLL_S = 0.2
_SETTINGS = {  # which Ray Train reads from the environment
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # how soon a lost worker is noticed
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}


@contextmanager
def ray_with_room(workers: TransferWorkersConfig, address: str) -> Iterator[None]:
    """Ray for the time of the block.

    Raises:
        InputError: the cluster has no room for the workers.
        ClusterError: the cluster cannot be reached.
    """
    import metaray
    from metaray.cluster.connect import connected

    with connected(address, metaray):
        check_room(workers)
        yield


def train_on_ray(plan: Plan, run: RunDirectory, callbacks: CallbackList) -> bool:
    """Train and test on the workers of ``plan``; whether the job was asked to stop.

    ``TorchTrainer.fit`` is a task of Ray: in this process it would take Ctrl-C for itself, and in
    a thread of it go on talking to Ray while the process leaves. It is not waited for, since Ray
    Train takes ten seconds to end what has no more to do.

    Raises:
        TrainingError: the job failed, or lost workers too often.
    """
    import ray

    from metaray.platform.distributed.ray_writer import on_this_node, start_writer

    keeper = start_writer(run, fingerprint(plan), plan.config.train.keep_checkpoints)
    task = ray.remote(_fit).options(num_cpus=0, max_retries=0, scheduling_strategy=on_this_node())
    asked_to_stop = False
    workers: list[WorkerState] = []
    with (
        tempfile.TemporaryDirectory(prefix="metaray-", ignore_cleanup_errors=True) as storage,
        callbacks.attach(lambda: [*workers]),
    ):
        fit = task.remote(plan, keeper, Path(storage))
        try:
            while (news := _news(keeper, callbacks)).stopped is None:
                workers[:] = news.workers
                if callbacks.stop.requested() and not asked_to_stop:
                    asked_to_stop = True
                    ray.get(keeper.stop.remote())
                if ray.wait([fit], timeout=_POLL_S)[0] and _news(keeper, callbacks).stopped is None:
                    _raise_why(fit)
        finally:
            ray.cancel(fit, force=True)
    ray.get(keeper.close.remote())
    return news.stopped


def _fit(plan: Plan, keeper: Any, storage: Path) -> None:
    from metaray.platform.common.ray_errors import first_line

    start_timeout_s = plan.config.workers.start_timeout_s
    os.environ.update(_SETTINGS, RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S=str(start_timeout_s))
    try:
        _trainer(plan, keeper, storage).fit()
    except Exception as error:
        raise WorkersLostError(
            f"Ray Train gave up ({first_line(error)}; workers.max_restarts = "
            f"{plan.config.workers.max_restarts}): look for lack of memory or room, then continue "
            "with --resume"
        ) from None


def _raise_why(fit: Any) -> None:
    """What ended the task before the job."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    from metaray.platform.common.ray_errors import cause_of, first_line

    why = "it returned"
    try:
        ray.get(fit)
    except RayTaskError as error:
        raise cause_of(error) from None
    except RayError as error:
        why = first_line(error)
    raise WorkersLostError(
        f"the process that leads Ray Train ended ({why}): look for lack of memory, then continue "
        "with --resume"
    )


def _trainer(plan: Plan, keeper: Any, storage: Path) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from metaray.platform.distributed.process_group import BoundTorchConfig
    from metaray.platform.distributed.ray_train_worker import work

    workers = plan.config.workers
    most = workers.count
    count: Any = most if workers.min_count is None else (workers.min_count, most)
    limits: Any = {"max_failures": workers.max_restarts, "controller_failure_limit": 2}
    return TorchTrainer(
        work,
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


def _news(keeper: Any, callbacks: CallbackList) -> RunUpdate:
    """What is new, which is shown; raise what the job failed of."""
    import ray

    news: RunUpdate = ray.get(keeper.news.remote())
    for row in news.rows:
        callbacks.on_step(row)
    for message in news.messages:
        callbacks.notify(message)
    if news.failure is not None:
        raise news.failure
    return news
