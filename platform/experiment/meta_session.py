"""One meta-training in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.source import EpisodeSource
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.config.loading import check_changes
from metaray.platform.config.meta import RunConfig
from metaray.platform.distributed.compute import check_place
from metaray.platform.distributed.open_pool import open_pool
from metaray.platform.experiment.adaptation import adaptation_time
from metaray.platform.experiment.example import example_episode
from metaray.platform.experiment.meta_data import (
    attribution_of,
    digests_of,
    note_of,
    open_data,
    open_fitted,
    preprocessing_of,
    record_of,
)
from metaray.platform.experiment.meta_executor import MetaExecutor, MetaResult
from metaray.platform.experiment.meta_results import summarize, write_meta_test
from metaray.platform.experiment.meta_state import fingerprint, flat_state, pretrained_state
from metaray.platform.experiment.other_data import (
    check_other_data,
    config_of_test,
    leak_sentence,
    other_data,
)
from metaray.platform.experiment.session import Executor, Prepared, Session, Summary
from metaray.platform.run.checkpoint import CheckpointStore
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsLog, MetricsRow
from metaray.platform.run.provenance import DataRecord
from metaray.platform.run.summary import read_summary
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.class_results import class_results
from metaray.platform.training.meta.executor import ShardSumExecutor
from metaray.platform.training.meta.messages import FlatState
from metaray.platform.training.meta.pool import LocalPool

if TYPE_CHECKING:
    from metaray.platform.experiment.meta import MetaTraining


@dataclass(frozen=True, kw_only=True)
class MetaSession(Session):
    """One meta-training."""

    config: RunConfig
    source: EpisodeSource
    blueprint: Blueprint
    trained: RunConfig
    """the config of the training, whose data set a test may leave"""

    @property
    @override
    def checkpoints(self) -> CheckpointStore:
        keep = self.config.train.keep_checkpoints
        shapes = fingerprint(self.blueprint)
        return CheckpointStore(self.run.checkpoints, shapes, keep, self.callbacks.notify)

    @property
    @override
    def total_steps(self) -> int:
        return self.config.train.outer_steps

    @property
    @override
    def time_left_s(self) -> float | None:
        budget_s, latest = self.config.train.time_budget_s, self.checkpoints.latest()
        return None if budget_s is None else budget_s - (latest.wall_s if latest else 0)

    @contextmanager
    @override
    def executor(self, tests: bool = True) -> Iterator[Executor]:
        with (
            open_pool(self.blueprint, self.address, self.callbacks.notify) as pool,
            self.callbacks.attach(pool.workers),
        ):
            yield MetaExecutor(self, pool)

    @override
    def conclude(self, result: MetaResult, references: Mapping[str, Summary]) -> Summary:
        summary = summarize(
            self.blueprint, self.last, result, MetricsLog.read(self.run.metrics), self.trained
        )
        from metaray.platform.report.page import write_report  # matplotlib takes a second

        summary |= class_results(result.test, self.config, self.source)
        summary["init"] = DataRecord.read(self.run).init
        write_meta_test(self.run, self.config, summary, result)
        if result.calibration is not None:
            result.calibration.write(self.run.calibration)
        write_report(self.run, example_episode(self.source, self.blueprint, result.state))
        return summary

    @override
    def validation(self) -> MetricsRow:
        pool = LocalPool(self.blueprint)
        pool.restore(self.last)
        return ShardSumExecutor(pool, self.blueprint).validate()

    @override
    def adaptation_time(self) -> float:
        return adaptation_time(self, flat_state(self.last), "val")

    def tested_state(self) -> FlatState:
        """The parameters and buffers that the latest meta-test was of; InputError without one."""
        summary = read_summary(self.run)
        if summary is None:
            raise InputError(
                f"{self.run.path} is not tested yet: run metaray evaluate {self.run.path}"
            )
        return flat_state(self.checkpoints.load(summary["tested_step"]))


def prepare(config: RunConfig, address: str) -> Prepared:
    """A new run; see ``Experiment.prepare``."""
    check_place(config.workers, address)
    source, config, fit = open_fitted(config, address)
    blueprint = Blueprint(config, source)
    started = pretrained_state(blueprint)
    first, origin = (None, None) if started is None else started
    record = record_of(source, config.data.name)
    notes = (fit, origin.sentence if origin else "", note_of(source, config.data))

    def session(run: RunDirectory, callbacks: CallbackList) -> MetaSession:
        return MetaSession(
            run=run,
            config=config,
            address=address,
            callbacks=callbacks,
            source=source,
            blueprint=blueprint,
            trained=config,
        )

    return Prepared(
        config=config,
        record=DataRecord(
            source=record,
            init=None if origin is None else origin.as_json(),
            preprocessing=preprocessing_of(source, config.data),
            attribution=attribution_of(source),
            trained_images=digests_of(source, "train"),
        ),
        first=first,
        notes=tuple(filter(None, notes)),
        session=session,
    )


def reopen(
    run: RunDirectory, config: RunConfig, address: str, callbacks: CallbackList
) -> MetaSession:
    """A run that exists, with the data that it was trained on."""
    source = open_data(config, address)
    DataRecord(source=record_of(source, config.data.name)).check_same(run)
    return _session(run, config, source, address, callbacks)


def reopen_for_test(
    experiment: MetaTraining,
    run: RunDirectory,
    overrides: Sequence[str],
    address: str,
    callbacks: CallbackList,
) -> MetaSession:
    """A run that exists, for a test on its own data or on another set."""
    before = experiment.read(run.config)
    config = config_of_test(before, overrides, run)
    check_changes(before, config, experiment.evaluable(before, overrides), "evaluated")
    source = open_data(config, address, only_test=True)
    if other_data(before, overrides) is None:
        DataRecord(source=record_of(source, config.data.name)).check_same(run)
        return _session(run, config, source, address, callbacks)
    check_other_data(run, source, before.data, config.data)
    if leaked := leak_sentence(run, source):
        callbacks.notify(leaked)
    return _session(run, config, source, address, callbacks, before)


def _session(
    run: RunDirectory,
    config: RunConfig,
    source: EpisodeSource,
    address: str,
    callbacks: CallbackList,
    trained: RunConfig | None = None,
) -> MetaSession:
    return MetaSession(
        run=run,
        config=config,
        address=address,
        callbacks=callbacks,
        source=source,
        blueprint=Blueprint(config, source),
        trained=trained or config,
    )
