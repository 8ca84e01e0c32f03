"""One transfer job in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.config.transfer import TransferConfig
from metaray.platform.distributed.compute import check_place
from metaray.platform.experiment.references import reference_config, training_text
from metaray.platform.experiment.session import Executor, Prepared, Reference, Session, Summary
from metaray.platform.experiment.transfer_data import notes_of, open_domains, open_fitted, record_of
from metaray.platform.experiment.transfer_executor import TransferExecutor
from metaray.platform.experiment.transfer_results import write_summary
from metaray.platform.run.checkpoint import CheckpointStore, newest_whole
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.provenance import DataRecord
from metaray.platform.training.transfer.blueprint import (
    Plan,
    TransferBlueprint,
    check_batch_norm,
)
from metaray.platform.training.transfer.initialization import (
    fingerprint,
    initial_state,
    restore_plan,
)


@dataclass(frozen=True, kw_only=True)
class TransferSession(Session):
    """One transfer job."""

    config: TransferConfig
    plan: Plan
    blueprint: TransferBlueprint

    @property
    @override
    def checkpoints(self) -> CheckpointStore:
        keep = self.config.train.keep_checkpoints
        shapes = fingerprint(self.plan)
        return CheckpointStore(self.run.checkpoints, shapes, keep, self.callbacks.notify)

    @property
    @override
    def total_steps(self) -> int:
        return self.blueprint.steps

    @contextmanager
    @override
    def executor(self, tests: bool = True) -> Iterator[Executor]:
        yield TransferExecutor(self, tests)

    @override
    def references(self) -> Mapping[str, Reference]:
        found = {}
        for name in self.config.evaluate.references:
            config = reference_config(
                self.config, name, self.total_steps, self.blueprint.batch_size
            )
            found[name] = Reference(config=config, training=training_text(config))
        return found

    @override
    def conclude(self, result: None, references: Mapping[str, Summary]) -> Summary:
        from metaray.platform.report.transfer_page import (
            write_transfer_report,  # matplotlib takes a second
        )

        summary = write_summary(self.run, self.plan, self.blueprint, self.last, references)
        write_transfer_report(self.run)
        return summary


def prepare(config: TransferConfig, address: str) -> Prepared:
    """A new job; see ``Experiment.prepare``."""
    check_place(config.workers, address)
    domains, config, division = open_fitted(config, address)
    start = initial_state(config, domains)
    origin = start.origin.sentence if start.origin else ""
    blueprint = TransferBlueprint(start.plan, domains, start.objective)
    check_batch_norm(config, blueprint)

    def session(run: RunDirectory, callbacks: CallbackList) -> TransferSession:
        return TransferSession(
            run=run,
            config=config,
            address=address,
            callbacks=callbacks,
            plan=start.plan,
            blueprint=blueprint,
        )

    return Prepared(
        config=config,
        record=record_of(domains, start),
        first=start.checkpoint,
        notes=tuple(filter(None, (division, origin, *notes_of(domains)))),
        session=session,
    )


def reopen(
    run: RunDirectory, config: TransferConfig, address: str, callbacks: CallbackList
) -> TransferSession:
    """The job in a folder, at its last checkpoint."""
    check_place(config.workers, address)
    domains = open_domains(config, address)
    record_of(domains).check_same(run)
    newest = newest_whole(run.checkpoints, callbacks.notify)
    if newest is None:
        raise InputError(f"{run.path} has no checkpoint: start a new job")
    plan = restore_plan(config, newest, DataRecord.read(run).teacher)
    session = TransferSession(
        run=run,
        config=config,
        address=address,
        callbacks=callbacks,
        plan=plan,
        blueprint=TransferBlueprint(plan, domains),
    )
    session.checkpoints.load(newest.step)  # one of another network is known before workers start
    return session
