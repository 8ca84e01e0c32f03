"""A transfer job from beginning to end: what ``metaray transfer`` does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metaray.algorithms.errors import InputError
from metaray.algorithms.transfer.configs import DomainConfig
from metaray.algorithms.transfer.examples import Examples, open_examples
from metaray.platform.callbacks.base import Callback
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.callbacks.monitored import check_monitoring, monitored
from metaray.platform.callbacks.preparing import preparing
from metaray.platform.common.errors import Stopped
from metaray.platform.config.loading import changed_keys, override
from metaray.platform.config.transfer import TransferConfig
from metaray.platform.config.transfer_loading import read_transfer_config
from metaray.platform.distributed.compute import check_place, compute, place_of
from metaray.platform.distributed.parallel_map import decoder
from metaray.platform.experiment.references import reference_config, training_text
from metaray.platform.experiment.results import write_config
from metaray.platform.experiment.transfer_record import check_same_data, read_data, write_data
from metaray.platform.experiment.transfer_results import read_summary, write_summary
from metaray.platform.run.checkpoint import Checkpoint, CheckpointStore, read_checkpoint
from metaray.platform.run.directory import RunDirectory
from metaray.platform.training.transfer.blueprint import (
    Domains,
    Plan,
    TransferBlueprint,
    check_batch_norm,
)
from metaray.platform.training.transfer.initialization import (
    InitialState,
    begin,
    fingerprint,
    restore_plan,
)

# What may differ when a job is resumed: nothing that has already shaped its weights.
_RESUMABLE = (
    *(f"{section}.{key}" for section in ("data", "target") for key in ("root", "cache")),
    *(
        f"workers.{key}"
        for key in ("count", "min_count", "cpus", "gpus", "device", "max_", "start_")
    ),
    *(f"train.{key}" for key in ("time_budget_s", "checkpoint_every", "keep_checkpoints")),
    "evaluate.",
    "monitoring.",
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One transfer job in this process."""

    run: RunDirectory
    plan: Plan
    blueprint: TransferBlueprint
    callbacks: CallbackList
    address: str

    @property
    def store(self) -> CheckpointStore:
        """The run's checkpoints."""
        keep = self.plan.config.train.keep_checkpoints
        return CheckpointStore(self.run.checkpoints, fingerprint(self.plan), keep)


def train(
    config: TransferConfig, out: Path, address: str, callbacks: Iterable[Callback] = ()
) -> dict[str, Any]:
    """A new job in ``out``: training, test, references and report; the summary.

    Raises:
        InputError: bad input, before anything is written.
        ClusterError: there is no cluster at ``address``, likewise.
        TrainingError: the job cannot go on; its last checkpoint is kept.
        Stopped: on Ctrl-C or SIGTERM, after a checkpoint.
    """
    RunDirectory.check_free(out)
    first = prepared(config, address)
    with ExitStack() as place:
        place.enter_context(place_of(config.workers, address))
        return _carry_out(start(first, out, address, callbacks), place)


def resume(
    folder: Path, overrides: list[str], address: str, callbacks: Iterable[Callback] = ()
) -> dict[str, Any]:
    """Continue the job in ``folder`` from its last checkpoint; the summary.

    Raises:
        InputError: no job there, a trial of a sweep, or an override of something that has shaped
            the weights already.
    """
    run = RunDirectory.open(folder)
    if newest(run).step and not (run.evaluations / "before.json").is_file():
        raise InputError(
            f"{folder} is a trial of a sweep that was not tested: go on with metaray sweep "
            "--resume, or train its settings anew with metaray transfer"
        )
    job = reopen(folder, overrides, address, callbacks)
    with ExitStack() as place:
        place.enter_context(place_of(job.plan.config.workers, address))
        return _carry_out(job, place)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A job of which nothing is written yet."""

    config: TransferConfig
    domains: Domains
    beginning: InitialState
    blueprint: TransferBlueprint


def prepared(config: TransferConfig, address: str) -> Prepared:
    """All of a new job but its folder; InputError as of ``train``."""
    check_place(config.workers, address)
    check_monitoring(config.monitoring)
    domains = open_domains(config, address)
    beginning = begin(config, domains)
    blueprint = TransferBlueprint(beginning.plan, domains, beginning.objective)
    check_batch_norm(config, blueprint)
    return Prepared(config=config, domains=domains, beginning=beginning, blueprint=blueprint)


def start(first: Prepared, out: Path, address: str, callbacks: Iterable[Callback] = ()) -> Job:
    """The job in ``out``, with its first checkpoint.

    Raises:
        InputError: there is something else already, or nothing can be written.
    """
    run, beginning = RunDirectory.create(out), first.beginning
    write_data(run, first.domains, beginning)
    job = Job(
        run=run,
        plan=beginning.plan,
        blueprint=first.blueprint,
        callbacks=CallbackList.of(callbacks),
        address=address,
    )
    if beginning.origin is not None:
        job.callbacks.notify(beginning.origin.sentence)
    job.store.save(beginning.checkpoint)
    write_config(run.config, first.config)  # last: with it, the folder holds a job that can go on
    return job


def reopen(
    folder: Path, overrides: list[str], address: str, callbacks: Iterable[Callback] = ()
) -> Job:
    """The job in ``folder``, at its last checkpoint; InputError as of ``resume``."""
    run = RunDirectory.open(folder)
    before = read_transfer_config(run.config)
    config = override(before, overrides)
    for key in changed_keys(before, config):
        if not key.startswith(_RESUMABLE):
            raise InputError(
                f"{key} cannot be changed when a job is resumed, since its weights come from the "
                "old value: start a new one"
            )
    check_place(config.workers, address)
    check_monitoring(config.monitoring)
    domains = open_domains(config, address)
    check_same_data(run, domains)
    checkpoint = newest(run)
    plan = restore_plan(config, checkpoint, read_data(run)["teacher"])
    job = Job(
        run=run,
        plan=plan,
        blueprint=TransferBlueprint(plan, domains),
        callbacks=CallbackList.of(callbacks),
        address=address,
    )
    job.store.load(checkpoint.step)  # one of another network is known before workers start
    write_config(run.config, config)
    return job


def open_domains(config: TransferConfig, address: str = "local") -> Domains:
    """The pictures, prepared with progress if need be."""
    mapper = decoder(config.workers.count if address == "local" else 0)

    def opened(domain: DomainConfig, section: str) -> Examples:
        with preparing(domain.name) as progress:
            return open_examples(domain, section, progress, mapper)

    return Domains.open(config, opened)


def _carry_out(job: Job, place: ExitStack) -> dict[str, Any]:
    """Train and test, leave ``place``, then the references, summary and report."""
    config = job.plan.config
    with monitored(
        job.run.path,
        config,
        job.callbacks,
        total_steps=job.blueprint.steps,
        start_step=newest(job.run).step,
    ) as callbacks:
        if compute(job.plan, job.blueprint, job.run, job.store, callbacks):
            step = newest(job.run).step
            raise Stopped(
                f"stopped after step {step} of {job.blueprint.steps}, with a checkpoint: continue "
                f"with metaray transfer {config.job.name} --resume {job.run.path}"
            )
        place.close()  # references have a place of their own
        return conclude(job, {name: _reference(job, name) for name in config.evaluate.references})


def conclude(job: Job, references: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Summary and report of a job that was tested; the summary."""
    summary = write_summary(job.run, job.plan, job.blueprint, newest(job.run), references)
    from metaray.platform.report.transfer_page import (
        write_transfer_report,  # matplotlib takes a second
    )

    write_transfer_report(job.run)
    return summary


def _reference(job: Job, name: str) -> dict[str, Any]:
    """The summary of a job to compare with, done in a folder of its own, or done before."""
    run = RunDirectory(job.run.path / "references" / name)
    blueprint = job.blueprint
    config = reference_config(job.plan.config, name, blueprint.steps, blueprint.batch_size)
    training = training_text(config)
    job.callbacks.notify(f"reference {name}, {training}: {run.path}")
    done = read_summary(run)
    if done is None and run.config.is_file():
        done = resume(run.path, [], job.address, job.callbacks.nested())
    elif done is None:
        done = train(config, run.path, job.address, job.callbacks.nested())
    return done | {"training": training}


def newest(run: RunDirectory) -> Checkpoint:
    """The last checkpoint of a job; InputError if there is none."""
    paths = sorted(run.checkpoints.glob("step-*.safetensors"))
    if not paths:
        raise InputError(f"{run.path} has no checkpoint: start a new job")
    return read_checkpoint(paths[-1])
