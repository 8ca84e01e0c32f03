"""A transfer job on Ray Train: workers with a process group of torch, started again when lost."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.common.errors import WorkersLostError, first_line
from metaray.platform.config.transfer import TransferWorkersConfig
from metaray.platform.distributed.patience import Silence, least_patience_s
from metaray.platform.distributed.resources import cluster_nodes, process_needs, room_for
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.status import WorkerState
from metaray.platform.training.transfer.blueprint import Plan
from metaray.platform.training.transfer.initialization import fingerprint

if TYPE_CHECKING:
    from metaray.platform.distributed.ray_writer import RunUpdate

_POLL_S = 0.2
_RELEASE_S = 10.0
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
    from metaray.algorithms import plugins
    from metaray.cluster.connect import connected

    with connected(address, metaray, plugins.files(), workers.start_timeout_s):
        room_for(workers, cluster_nodes(), workers.fewest).check()
        yield


def train_on_ray(plan: Plan, run: RunDirectory, callbacks: CallbackList) -> bool:
    """Train and test on the workers of ``plan``; whether the job was asked to stop.

    ``TorchTrainer.fit`` is a task of Ray: in this process it would take Ctrl-C for itself, and in
    a thread of it continue talking to Ray while the process leaves. It is not waited for, since Ray
    Train takes ten seconds to end what has no more to do.

    Raises:
        TrainingError: the job failed, or lost workers too often.
    """
    import ray

    from metaray.platform.distributed.ray_writer import on_this_node, start_writer

    writer = start_writer(run, fingerprint(plan), plan.config.train.keep_checkpoints)
    task = ray.remote(_fit).options(num_cpus=0, max_retries=0, scheduling_strategy=on_this_node())
    asked_to_stop = False
    workers: list[WorkerState] = []
    silence = Silence(plan.config.workers, callbacks.notify)
    with (
        tempfile.TemporaryDirectory(prefix="metaray-", ignore_cleanup_errors=True) as storage,
        callbacks.attach(lambda: [*workers]),
    ):
        fit = task.remote(plan, writer, Path(storage))
        try:
            while (update := _update(writer, callbacks, silence)).stopped is None:
                workers[:] = update.workers
                if callbacks.stop.requested() and not asked_to_stop:
                    asked_to_stop = True
                    ray.get(writer.stop.remote())
                has_ended = bool(ray.wait([fit], timeout=_POLL_S)[0])
                if has_ended and _update(writer, callbacks, silence).stopped is None:
                    _raise_why(fit)
        finally:
            ray.cancel(fit, force=True)
            _release(writer)
    ray.get(writer.close.remote())
    return update.stopped


def _fit(plan: Plan, writer: Any, storage: Path) -> None:

    start_timeout_s = plan.config.workers.start_timeout_s
    os.environ.update(
        _SETTINGS,
        RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S=str(start_timeout_s),
        # after which a worker that does not answer counts as lost; its thread that computes is
        # another one, so the length of a step does not matter
        RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S=str(least_patience_s(plan.config.workers)),
    )
    try:
        _trainer(plan, writer, storage).fit()
    except Exception as error:
        raise WorkersLostError(
            f"Ray Train gave up ({first_line(error)}; workers.max_restarts = "
            f"{plan.config.workers.max_restarts}): look for lack of memory or room, then continue "
            "with --resume"
        ) from None


def _release(writer: Any) -> None:
    """Remove the reservations of the workers, which would last as long as Ray does.

    Ray Train's own cleaner asks the dashboard which of them are left, and an embedded Ray has none.
    """
    import ray
    from ray.exceptions import RayError
    from ray.util import remove_placement_group

    with suppress(RayError):
        for group in ray.get(writer.reserved.remote(), timeout=_RELEASE_S):
            remove_placement_group(group)


def _raise_why(fit: Any) -> None:
    """What ended the task before the job."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    from metaray.platform.common.ray_errors import cause_of
    from metaray.platform.distributed.ray_alive import check_ray_now

    why = "it returned"
    try:
        ray.get(fit)
    except RayTaskError as error:
        raise cause_of(error) from None
    except RayError as error:
        check_ray_now()
        why = first_line(error)
    raise WorkersLostError(
        f"the process that leads Ray Train ended ({why}): look for lack of memory, then continue "
        "with --resume"
    )


def _trainer(plan: Plan, writer: Any, storage: Path) -> Any:
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
        train_loop_config={"plan": plan, "writer": writer},
        torch_config=BoundTorchConfig(backend="nccl" if workers.gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=count,
            use_gpu=workers.gpus > 0,
            resources_per_worker=process_needs(workers),
        ),
        run_config=RunConfig(
            name="job",
            storage_path=str(storage),
            failure_config=FailureConfig(**limits),
        ),
    )


def _update(writer: Any, callbacks: CallbackList, silence: Silence) -> RunUpdate:
    """What is new, which is shown; raise what the job failed of."""
    from ray.exceptions import GetTimeoutError, RayError

    from metaray.platform.distributed.ray_alive import answer, check_ray_now

    try:
        update: RunUpdate = answer(writer.update.remote(), silence.limit_s)
    except GetTimeoutError:
        raise WorkersLostError(
            f"the process that writes the run directory gave no answer for {silence.limit_s:.0f} s:"
            " look for a disk that does not answer, then continue with --resume"
        ) from None
    except RayError as error:
        check_ray_now()
        raise WorkersLostError(
            f"the process that writes the run directory ended ({first_line(error)}): look for lack "
            "of memory, then continue with --resume"
        ) from None
    silence.note(len(update.rows), has_news=bool(update.rows or update.messages))
    for row in update.rows:
        callbacks.on_step(row)
    for message in update.messages:
        callbacks.notify(message)
    if update.failure is not None:
        raise update.failure
    return update
