"""A job in two parts, as a sweep has it: the training alone, and later the test of the best one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.base import Callback
from metaray.platform.callbacks.monitored import monitored
from metaray.platform.common.errors import Stopped
from metaray.platform.config.loading import changed_keys
from metaray.platform.config.transfer import TransferConfig
from metaray.platform.config.transfer_loading import read_transfer_config
from metaray.platform.distributed.compute import trainer_here
from metaray.platform.experiment.transfer import Job, conclude, newest, prepared, reopen, start
from metaray.platform.run.directory import RunDirectory
from metaray.platform.training.transfer.initialization import begin


def train_alone(config: TransferConfig, folder: Path, callbacks: Iterable[Callback]) -> None:
    """Train in this process without touching a test picture: a new job, or the one there.

    Raises:
        InputError: bad input, or ``folder`` holds a job with other settings.
        TrainingError: the job cannot go on; its last checkpoint is kept.
        Stopped: one of ``callbacks`` asked for it; there is a checkpoint.
    """
    job = _job(config, folder, callbacks)
    at, steps = newest(job.run).step, job.blueprint.steps
    with (
        monitored(
            job.run.path, config, job.callbacks, total_steps=steps, start_step=at
        ) as everyone,
        everyone.training(),
        trainer_here(job.plan, job.blueprint, job.run, job.store, everyone) as trainer,
        everyone.attach(),
    ):
        if trainer.train().stopped:
            raise Stopped(f"stopped after step {newest(job.run).step}, with a checkpoint")


def test_alone(folder: Path, callbacks: Iterable[Callback]) -> dict[str, Any]:
    """Test the job that ``train_alone`` left in ``folder``, and its start; the summary."""
    job = reopen(folder, [], "local", callbacks)
    with trainer_here(job.plan, job.blueprint, job.run, job.store, job.callbacks) as trainer:
        trainer.test(newest(job.run))
        trainer.test_before(begin(job.plan.config, job.blueprint.domains).checkpoint)
    return conclude(job, {})


def _job(config: TransferConfig, folder: Path, callbacks: Iterable[Callback]) -> Job:
    run = RunDirectory(folder)
    if not run.config.exists():
        return start(prepared(config, "local"), folder, "local", callbacks)
    if changed := changed_keys(read_transfer_config(run.config), config):
        raise InputError(
            f"{folder} holds a job with another {changed[0]}: choose another folder, or delete it"
        )
    return reopen(folder, [], "local", callbacks)
