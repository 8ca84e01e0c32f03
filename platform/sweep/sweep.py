"""A sweep from beginning to end: what the command line and the Python API call."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from rich.console import Console

from metaray.algorithms.atomic import write_text
from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.base import Callback, RunInfo
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.callbacks.identity import Identity
from metaray.platform.callbacks.monitored import check_monitoring, published
from metaray.platform.callbacks.terminal import Terminal
from metaray.platform.common.errors import Stopped
from metaray.platform.experiment import runner
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.lock import locked
from metaray.platform.run.summary import read_summary
from metaray.platform.run.sweep_directory import SweepDirectory
from metaray.platform.sweep import study as studies
from metaray.platform.sweep.page import write_sweep_page
from metaray.platform.sweep.plan import SweepPlan, address_of, own_values
from metaray.platform.sweep.plan_space import GivenSpace, plan_space, stored_space
from metaray.platform.sweep.progress import SweepProgress
from metaray.platform.sweep.results import SweepResult, read_results, write_results
from metaray.platform.sweep.sampling import grid_size
from metaray.platform.sweep.space_file import SpaceFunction, space_text
from metaray.platform.sweep.status import SweepStatus
from metaray.platform.sweep.storage import open_storage
from metaray.tune_spaces.space import Space


@dataclass(frozen=True)
class LaunchOptions:
    """What may differ each time that a sweep is started or resumed."""

    address: str = "local"
    parallel: int | None = None
    time_budget_s: float | None = None
    storage: str | None = None
    callbacks: Sequence[Callback] = ()
    """they follow the sweep; those of its settings follow each trial too"""


def sweep(
    plan: SweepPlan, given: GivenSpace, out: Path, limits: LaunchOptions, console: Console
) -> SweepResult:
    """A new sweep in ``out``: its trials, a test of the best one, tables and page.

    Raises:
        InputError: bad input, before a trial starts.
        TrainingError: Ray Tune ended before all trials did; the sweep can be continued.
        Stopped: on Ctrl-C or SIGTERM; what was running can be continued.
    """
    plan.experiment.check_trials(plan.base, plan.metrics)
    check_monitoring(plan.base.monitoring)
    space, sentences = plan_space(plan, given)
    SweepDirectory.check_free(out)
    for sentence in sentences:
        console.print(sentence)
    if limits.storage is not None:
        open_storage(limits.storage, SweepDirectory(out))  # before what takes time
    _, fit = plan.experiment.fitted(plan.base, limits.address)  # prepared once, not by each trial
    if fit:
        console.print(fit)
    with _cluster(plan, limits) as parallel:  # what never fits leaves no folder behind
        folder = SweepDirectory.create(out.absolute())
        with _locked(folder):
            with folder.beginning():
                if not callable(space):
                    write_text(folder.space(plan.space_suffix), space_text(space))
                    # a file has its tables by section, and the order decides what is drawn
                    space = stored_space(plan, folder)
                elif isinstance(given, Path):
                    shutil.copyfile(given, folder.space(plan.space_suffix))
                with studies.new_study(plan, folder, limits.storage) as study:
                    if plan.sampler != "grid" and not callable(space):
                        start = own_values(space, plan.base)
                        if start is not None:  # what is published is the first thing to beat
                            study.enqueue_trial(start)
                    plan.write(folder.plan)
            return _run(plan, space, folder, study, limits, parallel, console)


def resume(
    folder_path: Path, num_trials: int | None, limits: LaunchOptions, console: Console
) -> SweepResult:
    """Continue with the sweep in a folder, to ``num_trials`` if more are wanted than before.

    Raises:
        InputError: no sweep there, or its study is gone.
        TrainingError, Stopped: as ``sweep``.
    """
    folder = SweepDirectory.open(folder_path.absolute())
    plan = SweepPlan.read(folder.plan)
    if num_trials is not None:
        if plan.scheduler == "pbt":
            raise InputError("the trials of a population train together: leave out --num-trials")
        plan = plan.model_copy(update={"num_trials": num_trials})
    space = stored_space(plan, folder)
    with _locked(folder):
        study = studies.load_study(plan, folder, limits.storage)
        plan.write(folder.plan)
        with _cluster(plan, limits) as parallel:
            return _run(plan, space, folder, study, limits, parallel, console)


def _locked(folder: SweepDirectory) -> AbstractContextManager[None]:
    """No other process starts trials of the sweep in the block."""
    return locked(folder.lock, f"the sweep in {folder.path}")


def read(folder_path: Path, storage: str | None) -> SweepResult:
    """The sweep in a folder as far as it came. Nothing is computed or written.

    Raises:
        InputError: no sweep there, or its study is gone.
    """
    folder = SweepDirectory.open(folder_path.absolute())
    plan = SweepPlan.read(folder.plan)
    study = studies.load_study(plan, folder, storage)
    best = studies.best(study)
    return read_results(plan, folder, study, _test_of(folder, best) if best else None)


@contextmanager
def _cluster(plan: SweepPlan, limits: LaunchOptions) -> Iterator[int]:
    """A connection to Ray for the time of the block; yields how many trials run there at once."""
    import metaray
    from metaray.algorithms import plugins
    from metaray.cluster.connect import connected

    start_s = plan.base.workers.start_timeout_s
    with connected(limits.address, metaray, plugins.files(), start_s):
        from metaray.platform.sweep.runner import trials_in_parallel  # Ray, which is set up now

        yield trials_in_parallel(plan.base, limits.parallel)


def _run(
    plan: SweepPlan,
    space: Space | SpaceFunction,
    folder: SweepDirectory,
    study: optuna.Study,
    limits: LaunchOptions,
    parallel: int,
    console: Console,
) -> SweepResult:
    from metaray.platform.sweep import runner as trials

    total = plan.num_trials
    if plan.sampler == "grid":
        total = min(total, grid_size(space))
    progress = SweepProgress(
        console,
        metrics=plan.metrics,
        outer_steps=plan.steps,
        num_trials=total,
        num_done=_num_done(study),
        parallel=parallel,
        time_budget_s=limits.time_budget_s,
    )
    callbacks = CallbackList([progress, *limits.callbacks])
    info = RunInfo(
        folder=folder.path,
        identity=Identity(kind="sweep", run=folder.path.name),
        config=plan.base.model_dump(),
        total_steps=plan.steps,
        stop=callbacks.stop,
    )
    status = SweepStatus(info, plan.metrics[0], study, total)
    with published(info, status, plan.base.monitoring, callbacks, []) as everyone:
        with everyone.training(), everyone.attach():
            stopped = trials.run_trials(
                plan,
                space,
                folder,
                study,
                num_trials=total,
                parallel=parallel,
                time_budget_s=limits.time_budget_s,
                callbacks=everyone,
            )
        if stopped:
            raise Stopped(
                f"stopped after {_num_done(study)} of {total} trials; those that were running "
                f"have checkpoints: continue with metaray sweep --resume {folder.path}"
            )
        with everyone.evaluating(0):
            tested = _test_best(plan, folder, study, console)
        result = write_results(plan, folder, study, tested)
        write_sweep_page(folder, result)
        return result


def _num_done(study: optuna.Study) -> int:
    return studies.begun(study) - len(studies.unfinished(study))


def _test_best(
    plan: SweepPlan, folder: SweepDirectory, study: optuna.Study, console: Console
) -> dict[str, Any] | None:
    """The test of the best trial, in its run directory; not again if it is there."""
    best = studies.best(study)
    if best is None:
        return None
    if (tested := _test_of(folder, best)) is not None:
        return tested
    name = plan.experiment.test_name
    console.print(f"{name} of trial {best.number}, the best on validation")
    path = folder.trial(best.number)
    return runner.evaluate(path, [], address_of(plan.base), [Terminal(console)])


def _test_of(folder: SweepDirectory, trial: FrozenTrial) -> dict[str, Any] | None:
    """The summary of the test of a trial; None if it was not tested."""
    return read_summary(RunDirectory(folder.trial(trial.number)))
