"""Training and testing a run from beginning to end: what the commands do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from metaray.algorithms.errors import InputError
from metaray.algorithms.methods.method_section import BatchTrained
from metaray.algorithms.tasks.catalog import build_source
from metaray.algorithms.tasks.source import EpisodeSource
from metaray.platform.callbacks.base import Callback
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.callbacks.monitored import check_monitoring, monitored
from metaray.platform.callbacks.preparing import preparing
from metaray.platform.common.errors import Stopped
from metaray.platform.config.loading import changed_keys, override, read_run_config
from metaray.platform.config.schema import RunConfig
from metaray.platform.distributed.open_pool import open_pool
from metaray.platform.distributed.parallel_map import decoder
from metaray.platform.experiment.example import example_episode
from metaray.platform.experiment.initialization import start_from_run
from metaray.platform.experiment.results import summarize, write_config, write_results
from metaray.platform.report.page import write_report
from metaray.platform.run.checkpoint import Checkpoint, CheckpointStore, shapes_text
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsLog
from metaray.platform.run.provenance import DataRecord, check_tested, config_of_test, other_data
from metaray.platform.run.worker_requests import WorkerRequests
from metaray.platform.training.device import choose_device
from metaray.platform.training.loop import OuterLoop
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.evaluation import evaluate
from metaray.platform.training.meta.executor import ShardSumExecutor, loop_settings
from metaray.platform.training.meta.messages import FlatState
from metaray.platform.training.meta.pool import Pool
from metaray.platform.training.pretrained import Provenance
from metaray.platform.training.schedule import meta_schedule
from metaray.platform.training.writer import LocalRunWriter

# What may differ when a run is resumed: nothing that has already shaped its parameters.
_PLACES = ("data.root", "data.cache")
_RESUMABLE = (
    *_PLACES,
    *(f"workers.{key}" for key in ("count", "cpus", "gpus", "device", "max_", "start_")),
    *(f"train.{key}" for key in ("time_budget_s", "checkpoint_every", "keep_checkpoints")),
    *(f"evaluate.{key}" for key in ("num_episodes", "checkpoint")),
    "monitoring.",
)
_TESTED_SHAPE = ("task.ways", "task.shots", "task.queries")
_RETESTABLE = (*_PLACES, *_TESTED_SHAPE, "workers.", "evaluate.", "method.eval_")


@dataclass(frozen=True, kw_only=True)
class Session:
    """One run in this process."""

    run: RunDirectory
    config: RunConfig
    source: EpisodeSource
    blueprint: Blueprint
    callbacks: CallbackList
    trained: RunConfig
    """the config of the training, whose data set a test may leave"""

    @property
    def checkpoints(self) -> CheckpointStore:
        """The run's checkpoints."""
        return CheckpointStore(
            self.run.checkpoints,
            fingerprint(self.blueprint),
            self.config.train.keep_checkpoints,
        )


def train(
    config: RunConfig, out: Path, address: str, callbacks: Iterable[Callback] = ()
) -> dict[str, Any]:
    """A new run in ``out``: meta-training, meta-test and report; the summary.

    Raises:
        InputError: bad input, before anything is written but the folder.
        TrainingError: the run cannot go on; its last checkpoint is kept.
        Stopped: on Ctrl-C or SIGTERM, after a checkpoint.
    """
    check_monitoring(config.monitoring)
    if config.workers.count == 0:
        choose_device(config.workers)  # elsewhere only the workers can tell what they have
    blueprint = Blueprint(config, open_data(config, address))
    started = start_from_run(blueprint)
    session = _session(RunDirectory.create(out), blueprint, callbacks)
    _write_start(session, started)
    return _train_and_test(session, address)


def fit(
    config: RunConfig, out: Path, address: str, callbacks: Iterable[Callback] = ()
) -> tuple[Session, Checkpoint]:
    """Meta-training alone, without a test: a new run in ``out``, or the one there continued.

    Raises:
        InputError: bad input, or ``out`` holds a run with other settings.
        TrainingError, Stopped: as ``train``.
    """
    run, source = RunDirectory(out), open_data(config, address)
    if run.config.exists():
        if changed := changed_keys(read_run_config(run.config), config):
            raise InputError(
                f"{out} holds a run with another {changed[0]}: choose another folder, or delete it"
            )
        DataRecord.check_same(run, source, config.data.name)
        session = _session(run, Blueprint(config, source), callbacks)
    else:
        blueprint = Blueprint(config, source)
        started = start_from_run(blueprint)
        session = _session(RunDirectory.create(out), blueprint, callbacks)
        _write_start(session, started)
    with _pool(session, address) as (session, pool):
        return session, _train(session, pool)


def resume(
    folder: Path, overrides: list[str], address: str, callbacks: Iterable[Callback] = ()
) -> dict[str, Any]:
    """Continue the run in ``folder`` from its last checkpoint; the summary.

    With more ``train.outer_steps`` it ends with the parameters of a run that was planned so.

    Raises:
        InputError: no run there, a checkpoint that does not fit, an override of something that
            has shaped the parameters already, or fewer outer steps than are done.
    """
    run = RunDirectory.open(folder)
    before = read_run_config(run.config)
    config = override(before, overrides)
    _check_allowed(before, config, _resumable(before), "resumed")
    check_monitoring(config.monitoring)
    session = _reopen(run, config, address, callbacks)
    latest = session.checkpoints.latest()  # a bad one is known before workers start
    if latest is not None and latest.step > config.train.outer_steps:
        raise InputError(
            f"train.outer_steps = {config.train.outer_steps}, but the run in {folder} has made "
            f"{latest.step} already: give at least as many"
        )
    write_config(session.run.config, session.config)
    return _train_and_test(session, address)


def evaluate_run(
    folder: Path, overrides: list[str], address: str, callbacks: Iterable[Callback] = ()
) -> dict[str, Any]:
    """Meta-test the run in ``folder`` again, under ``overrides``; the new summary.

    An override of data.name tests on another data set, under its own settings.

    Raises:
        InputError: no run there, no checkpoint yet, or an override that is no matter of testing.
    """
    run = RunDirectory.open(folder)
    before = read_run_config(run.config)
    config = config_of_test(before, overrides, run)
    is_other = other_data(before, overrides) is not None
    allowed = (*_RETESTABLE, "data.", "method.num_classes") if is_other else _RETESTABLE
    _check_allowed(before, config, allowed, "evaluated")
    source = open_data(config, address, only_test=True)
    if is_other:
        check_tested(run, source, before.data, config.data)
    else:
        DataRecord.check_same(run, source, config.data.name)
    session = _session(run, Blueprint(config, source), callbacks, before if is_other else config)
    last = session.checkpoints.latest()
    if last is None:
        raise InputError(f"{folder} has no checkpoint yet: train it with --resume {folder}")
    with open_pool(session.blueprint, address, session.callbacks.notify) as pool:
        return _test(session, pool, last)


def fingerprint(blueprint: Blueprint) -> str:
    """What the flat vectors of a run mean: method, number type, names and shapes."""
    dtype = str(blueprint.dtype).removeprefix("torch.")
    return shapes_text(f"{blueprint.config.method.name} {dtype}", *blueprint.layouts)


def _write_start(session: Session, started: tuple[Checkpoint, Provenance] | None) -> None:
    """Config and data, and the first checkpoint where the network comes from another run."""
    origin = None if started is None else started[1]
    init = None if origin is None else origin.as_json()
    DataRecord.of(session.source, init).write(session.run)
    write_config(session.run.config, session.config)
    if started is not None:
        session.checkpoints.save(started[0])
        session.callbacks.notify(started[1].sentence)


def _train_and_test(session: Session, address: str) -> dict[str, Any]:
    with _pool(session, address) as (session, pool):
        return _test(session, pool, _train(session, pool))


@contextmanager
def _pool(session: Session, address: str) -> Iterator[tuple[Session, Pool]]:
    """The pool of a training, and the session with all callbacks that follow it."""
    train, latest = session.config.train, session.checkpoints.latest()
    budget_s = train.time_budget_s
    with (
        monitored(
            session.run.path,
            session.config,
            session.callbacks,
            total_steps=train.outer_steps,
            start_step=latest.step if latest else 0,
            time_left_s=None if budget_s is None else budget_s - (latest.wall_s if latest else 0),
        ) as callbacks,
        open_pool(session.blueprint, address, callbacks.notify) as pool,
        callbacks.attach(pool.workers),
    ):
        yield replace(session, callbacks=callbacks), pool


def _train(session: Session, pool: Pool) -> Checkpoint:
    callbacks, total = session.callbacks, session.config.train.outer_steps
    with (
        callbacks.training(),
        closing(LocalRunWriter(session.run, session.checkpoints, callbacks)) as writer,
    ):
        executor = ShardSumExecutor(pool, session.blueprint)
        requests = WorkerRequests(session.run)
        last, stopped = OuterLoop(
            executor, writer, loop_settings(session.config), requests.poll
        ).run()
    if stopped:
        raise Stopped(
            f"stopped after outer step {last.step} of {total}, with a checkpoint: continue with "
            f"metaray train --resume {session.run.path}"
        )
    return last


def _test(session: Session, pool: Pool, last: Checkpoint) -> dict[str, Any]:
    """Meta-test the chosen parameters and the untrained ones; write results and report."""
    config, blueprint = session.config, session.blueprint
    use_best = config.evaluate.checkpoint == "best" and last.best_step is not None
    chosen = session.checkpoints.load(last.best_step) if use_best and last.best_step else last
    state = flat_state(chosen)
    num = config.evaluate.num_episodes
    with session.callbacks.evaluating(2 * num) as advance:
        test = evaluate(pool, blueprint, "test", num, state, advance)
        baseline = evaluate(pool, blueprint, "test", num, blueprint.initial_flat, advance)
    rows = MetricsLog.read(session.run.metrics)
    summary = summarize(blueprint, last, chosen.step, test, baseline, rows, session.trained)
    summary["init"] = DataRecord.read(session.run).init
    write_results(session.run, config, summary, test, baseline)
    write_report(session.run, example_episode(session.source, blueprint, state))
    return summary


def tested(folder: Path, callbacks: Iterable[Callback]) -> tuple[Session, FlatState]:
    """The run in ``folder`` and the state that its latest meta-test was of.

    Raises:
        InputError: no run there, or its checkpoint is damaged.
    """
    run = RunDirectory.open(folder)
    session = _reopen(run, read_run_config(run.config), "local", callbacks)
    step = json.loads(session.run.summary.read_text(encoding="utf-8"))["tested_step"]
    return session, flat_state(session.checkpoints.load(step))


def flat_state(checkpoint: Checkpoint) -> FlatState:
    """Parameters and buffers of ``checkpoint`` as they travel."""
    return np.concatenate([checkpoint.tensors[name].numpy() for name in ("params", "buffers")])


def _resumable(config: RunConfig) -> tuple[str, ...]:
    """With ``train.outer_steps`` where no step depends on how many there will be."""
    if meta_schedule(config.train).looks_ahead or config.method.anneals:
        return _RESUMABLE
    return (*_RESUMABLE, "train.outer_steps")


def _check_allowed(
    before: RunConfig, after: RunConfig, allowed: tuple[str, ...], verb: str
) -> None:
    for key in changed_keys(before, after):
        if not key.startswith(allowed):
            raise InputError(
                f"{key} cannot be changed when a run is {verb}, since its parameters come from the "
                "old value: start a new run"
            )


def _reopen(
    run: RunDirectory, config: RunConfig, address: str, callbacks: Iterable[Callback] = ()
) -> Session:
    """A run that exists, with the data that it was trained on."""
    source = open_data(config, address)
    DataRecord.check_same(run, source, config.data.name)
    return _session(run, Blueprint(config, source), callbacks)


def _session(
    run: RunDirectory,
    blueprint: Blueprint,
    callbacks: Iterable[Callback],
    trained: RunConfig | None = None,
) -> Session:
    return Session(
        run=run,
        config=blueprint.config,
        source=blueprint.source,
        blueprint=blueprint,
        callbacks=CallbackList.of(callbacks),
        trained=trained or blueprint.config,
    )


def open_data(config: RunConfig, address: str = "local", only_test: bool = False) -> EpisodeSource:
    """The data, prepared with progress if need be, and able to serve the splits that are used.

    Raises:
        InputError: it is missing or damaged, or too small for the shapes of ``config``.

    A large set is decoded by as many processes as the run has workers; but in this one for a run
    that joins a cluster, whose other nodes may not share the cache.
    """
    mapper = decoder(config.workers.count if address == "local" else 0)
    with preparing(config.data.name) as progress:
        source = build_source(config.data, progress, mapper)
    if not only_test and config.train.outer_steps:
        if isinstance(config.method, BatchTrained):
            _check_classes(config.method, source.num_classes("train"))
        else:
            source.check("train", config.train_shape)
        if config.train.validate_every:
            source.check("val", config.test_shape)
    source.check("test", config.test_shape)
    return source


def _check_classes(method: BatchTrained, found: int) -> None:
    if method.num_classes is not None and method.num_classes < found:
        raise InputError(
            f"method.num_classes = {method.num_classes} is fewer than the {found} classes of the "
            "training split: leave it out"
        )
