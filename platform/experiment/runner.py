"""Runs from beginning to end, the same for every kind of experiment.

>>> from metaray.platform.experiment.registry import EXPERIMENTS
>>> from metaray.platform.experiment import runner
>>> config = EXPERIMENTS["train"].load(overrides=["train.outer_steps=20", "workers.count=0"])
>>> summary = runner.new(config, Path("runs/small"), "local")  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.base import Callback
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.callbacks.monitored import check_monitoring, monitored
from metaray.platform.common.errors import Stopped
from metaray.platform.config.loading import changed_keys, check_changes, override
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.config.tree import get
from metaray.platform.experiment.base import Experiment
from metaray.platform.experiment.registry import experiment_in, experiment_of
from metaray.platform.experiment.results import version_note, write_config
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.lock import locked
from metaray.platform.run.summary import read_summary

if TYPE_CHECKING:
    from metaray.platform.experiment.session import (
        Executor,
        Prepared,
        Reference,
        Session,
        Summary,
    )

_EARLIER_TRY_S = 60.0
"""how long ``fit`` waits for a process that had the run before, and was told to end"""


def new(
    config: ExperimentConfig, out: Path, address: str, callbacks: Iterable[Callback] = ()
) -> Summary:
    """Train a new run in ``out``, test it, and write its report.

    Args:
        config: resolved settings of any kind of experiment.
        out: folder of the run; missing or empty.
        address: of a Ray cluster, or ``local``; only runs with Ray workers use it.
        callbacks: follow the run; a ``CallbackList`` can stop it.

    Returns:
        The content of ``summary.json``.

    Raises:
        InputError: bad input; at most an empty folder has been created.
        ClusterError: there is no cluster at ``address``.
        TrainingError: the run cannot continue; its last checkpoint is kept.
        Stopped: by Ctrl-C, SIGTERM or ``CallbackList.stop``; there is a checkpoint.
    """
    experiment = experiment_of(config)
    RunDirectory.check_free(out)
    check_monitoring(config.monitoring)
    prepared = experiment.prepare(config, address)
    with ExitStack() as place:
        place.enter_context(experiment.place(config, address))
        everyone = CallbackList.of(callbacks)
        with _created(prepared, out, everyone) as session:
            return _train_and_evaluate(session, place)


def resume(
    folder: Path, overrides: Sequence[str], address: str, callbacks: Iterable[Callback] = ()
) -> Summary:
    """Continue the run in ``folder`` from its last checkpoint, to its test and report.

    With more ``train.outer_steps`` it ends with the parameters of a run that was planned so. A run
    that is done stays as it is.

    Returns:
        The content of ``summary.json``.

    Raises:
        InputError: no run there, a checkpoint or data that do not fit, an override of a setting
            that has shaped the parameters already, or fewer steps than are done; or another
            process trains the run.
        ClusterError, TrainingError, Stopped: as ``new``.
    """
    run = RunDirectory.open(folder)
    experiment = experiment_in(run)
    before = experiment.read(run.config)
    config = override(before, overrides)
    check_changes(before, config, experiment.resumable(before), "resumed")
    check_monitoring(config.monitoring)
    everyone = CallbackList.of(callbacks)
    with _locked(run, everyone):
        session = _reopened(experiment, run, config, address, everyone)
        return _resume(session, folder, before, address)


def _resume(session: Session, folder: Path, before: ExperimentConfig, address: str) -> Summary:
    run, config, experiment = session.run, session.config, experiment_of(session.config)
    latest = session.checkpoints.latest()
    if latest is not None and latest.step > session.total_steps:
        raise InputError(
            f"{experiment.steps_key} = {session.total_steps}, but the run in {folder} has made "
            f"{latest.step} already: give at least as many"
        )
    if (done := _done(session, changed_keys(before, config))) is not None:
        longer = f", and --set {experiment.steps_key}=... trains it further"
        session.callbacks.notify(
            f"the run in {folder} is done, so nothing was changed: metaray evaluate tests it again"
            + (longer if experiment.steps_key in experiment.resumable(before) else "")
        )
        return done
    with ExitStack() as place:
        place.enter_context(experiment.place(config, address))
        _note_versions(session)
        write_config(run.config, config)
        return _train_and_evaluate(session, place)


def evaluate(
    folder: Path, overrides: Sequence[str], address: str, callbacks: Iterable[Callback] = ()
) -> Summary:
    """Test the run in ``folder`` again, under ``overrides``; its report shows the new result.

    Returns:
        The content of ``summary.json``.

    Raises:
        InputError: no run there, no checkpoint yet, or an override that evaluation does not allow.
        ClusterError: there is no cluster at ``address``.
    """
    run = RunDirectory.open(folder)
    everyone = CallbackList.of(callbacks)
    session = experiment_in(run).reopen_for_test(run, list(overrides), address, everyone)
    session.last  # noqa: B018 - InputError where there is none, before workers start
    with session.executor() as executor:
        result = executor.evaluate()
    return _conclude(session, result)


def fit(
    config: ExperimentConfig, out: Path, address: str, callbacks: Iterable[Callback] = ()
) -> Session:
    """Train without a test: a new run in ``out``, or the one that is there, continued.

    No test example is read. The trials of sweeps are trained so.

    Returns:
        The run, whose ``last`` is the checkpoint of the end.

    Raises:
        InputError: bad input, or ``out`` holds a run with other settings.
        ClusterError, TrainingError, Stopped: as ``new``.
    """
    with _begun(config, out, address, CallbackList.of(callbacks)) as session:
        with (
            experiment_of(config).place(config, address),
            _followed(session) as followed,
            followed.executor(tests=False) as executor,
        ):
            _train(followed, executor)
        return session


@contextmanager
def _begun(
    config: ExperimentConfig, out: Path, address: str, callbacks: CallbackList
) -> Iterator[Session]:
    """The run of ``fit``. The process of an earlier try may still be about to end."""
    experiment, run = experiment_of(config), RunDirectory(out)
    if not run.config.exists():
        with _created(experiment.prepare(config, address), out, callbacks) as session:
            yield session
        return
    with _locked(run, callbacks, patience_s=_EARLIER_TRY_S):
        before = experiment.read(run.config)
        if changed := [key for key in changed_keys(before, config) if not _fitted(config, key)]:
            raise InputError(
                f"{out} holds a run with another {changed[0]}: choose another folder, or delete it"
            )
        session = _reopened(experiment, run, before, address, callbacks)
        _note_versions(session)
        yield session


def load(folder: Path, callbacks: Iterable[Callback] = ()) -> Session:
    """The run in ``folder``, with its own data and settings, opened in this process.

    Raises:
        InputError: no run there, or its data or checkpoint do not fit.
    """
    run = RunDirectory.open(folder)
    experiment = experiment_in(run)
    return experiment.reopen(run, experiment.read(run.config), "local", CallbackList.of(callbacks))


def _done(session: Session, changed: Sequence[str]) -> Summary | None:
    """The result of a run that has one, unless a setting has changed that may change it."""
    from metaray.platform.run.checkpoint import params_sha256  # imports torch

    summary, latest = read_summary(session.run), session.checkpoints.latest()
    if summary is None or latest is None or not session.run.report.is_file():
        return None
    unimportant = ("workers.", "monitoring.", *session.config.places)
    if not all(key.startswith(unimportant) for key in changed):
        return None
    return summary if summary["params_sha256"] == params_sha256(latest) else None


def _fitted(config: ExperimentConfig, key: str) -> bool:
    """Whether data, method and network may have changed a setting that the user has left open."""
    experiment = experiment_of(config)
    if key in experiment.chosen and get(config.model_dump(), key, None) == "auto":
        return True
    fits = experiment.fits
    return config.given is not None and key in fits and key not in config.given


@contextmanager
def _locked(run: RunDirectory, callbacks: CallbackList, patience_s: float = 0.0) -> Iterator[None]:
    """No other process writes to ``run`` in the block; FolderInUseError where one does now."""
    shown = f"the run in {run.place}"
    with locked(run.lock, shown, patience_s=patience_s, lost=callbacks.stop.request):
        yield


@contextmanager
def _created(prepared: Prepared, out: Path, callbacks: CallbackList) -> Iterator[Session]:
    """The folder of a new run, locked, with all that it takes to continue from there."""
    run = RunDirectory.create(out)
    with _locked(run, callbacks):
        if run.config.exists():  # another process was quicker
            RunDirectory.check_free(out)
        with run.beginning():
            prepared.record.write(run)
            session = prepared.session(run, callbacks)
            if prepared.first is not None:
                session.checkpoints.save(prepared.first)
            write_config(run.config, prepared.config)  # with it, the folder can be resumed
        for note in prepared.notes:
            callbacks.notify(note)
        yield session


def _note_versions(session: Session) -> None:
    if (note := version_note(session.run)) is not None:
        session.callbacks.notify(note)


def _reopened(
    experiment: Experiment[Any],
    run: RunDirectory,
    config: ExperimentConfig,
    address: str,
    callbacks: CallbackList,
) -> Session:
    """A run that exists, to continue from its newest whole checkpoint."""
    from metaray.platform.run.repair import repair  # imports torch

    repair(run.checkpoints, callbacks.notify)
    return experiment.reopen(run, config, address, callbacks)


def _train_and_evaluate(session: Session, place: ExitStack) -> Summary:
    """Train and test, leave ``place``, then the runs to compare with, summary and report."""
    with _followed(session) as session:
        with session.executor() as executor:
            _train(session, executor)
            result = executor.evaluate()
        place.close()  # references use their own workers
        return _conclude(session, result)


@contextmanager
def _followed(session: Session) -> Iterator[Session]:
    """The session with all callbacks that follow it, from its start to its end."""
    latest = session.checkpoints.latest()
    with monitored(
        session.run.path,
        session.config,
        session.callbacks,
        total_steps=session.total_steps,
        start_step=latest.step if latest else 0,
        time_left_s=session.time_left_s,
    ) as everyone:
        yield replace(session, callbacks=everyone)


def _train(session: Session, executor: Executor) -> None:
    if executor.train():
        step_name = experiment_of(session.config).step_name
        raise Stopped(
            f"stopped after {step_name} {session.last.step} of {session.total_steps}, "
            f"with a checkpoint: continue with {session.config.command} --resume "
            f"{session.run.path}"
        )


def _conclude(session: Session, result: object) -> Summary:
    references = session.references()
    return session.conclude(
        result, {name: _reference(session, name, found) for name, found in references.items()}
    )


def _reference(session: Session, name: str, reference: Reference) -> Summary:
    """The summary of a reference run. It is trained now unless it was trained before."""
    run = RunDirectory(session.run.path / "references" / name)
    session.callbacks.notify(f"reference {name}, {reference.training}: {run.path}")
    done = read_summary(run)
    if done is None and run.config.is_file():
        done = resume(run.path, [], session.address, session.callbacks.nested())
    elif done is None:
        done = new(reference.config, run.path, session.address, session.callbacks.nested())
    return done | {"training": reference.training}
