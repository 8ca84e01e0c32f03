"""A job in two parts, as a sweep has it: the training alone, and later the test of the best one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.monitor import Monitor, TrainingWatch
from metaray.platform.callbacks.observer import observed
from metaray.platform.common.errors import Stopped
from metaray.platform.config.loading import changed_keys
from metaray.platform.config.transfer import TransferConfig
from metaray.platform.config.transfer_loading import read_transfer_config
from metaray.platform.distributed.compute import trainer_here
from metaray.platform.experiment.transfer import Job, conclude, newest, prepared, reopen, start
from metaray.platform.run.directory import RunDirectory
from metaray.platform.training.transfer.initialization import begin


def train_alone(config: TransferConfig, folder: Path, monitor: Monitor) -> None:
    """Train in this process without touching a test picture: a new job, or the one there.

    Raises:
        InputError: bad input, or ``folder`` holds a job with other settings.
        TrainingError: the job cannot go on; its last checkpoint is kept.
        Stopped: ``monitor`` asked for it; there is a checkpoint.
    """
    job = _job(config, folder, monitor)
    at = newest(job.run).step
    with (
        observed(job.run.path, config, monitor) as observer,
        observer.training(job.blueprint.steps, at, None) as watch,
        trainer_here(job.plan, job.blueprint, job.run, job.store, watch) as trainer,
        observer.among(),
    ):
        if trainer.train().stopped:
            raise Stopped(f"stopped after step {newest(job.run).step}, with a checkpoint")


def test_alone(folder: Path, monitor: Monitor) -> dict[str, Any]:
    """Test the job that ``train_alone`` left in ``folder``, and its start; the summary."""
    job = reopen(folder, [], "local", monitor)
    watch = TrainingWatch(
        on_row=lambda row: None, notify=monitor.message, stop_requested=lambda: False
    )
    with trainer_here(job.plan, job.blueprint, job.run, job.store, watch) as trainer:
        trainer.test(newest(job.run))
        trainer.test_before(begin(job.plan.config, job.blueprint.domains).checkpoint)
    return conclude(job, {})


def _job(config: TransferConfig, folder: Path, monitor: Monitor) -> Job:
    run = RunDirectory(folder)
    if not run.config.exists():
        return start(prepared(config, "local"), folder, "local", monitor)
    if changed := changed_keys(read_transfer_config(run.config), config):
        raise InputError(
            f"{folder} holds a job with another {changed[0]}: choose another folder, or delete it"
        )
    return reopen(folder, [], "local", monitor)
