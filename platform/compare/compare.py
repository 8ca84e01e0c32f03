"""A comparison from beginning to end: what the command and ``mr.compare`` do."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

import metaray
from metaray.algorithms import plugins
from metaray.algorithms.paths import user_path
from metaray.cluster.connect import connected
from metaray.platform.callbacks.base import Callback, RunInfo
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.callbacks.identity import Identity
from metaray.platform.callbacks.monitored import check_monitoring
from metaray.platform.common.errors import Stopped
from metaray.platform.compare.directory import CompareDirectory, RunFolder
from metaray.platform.compare.page import write_comparison
from metaray.platform.compare.placement import check_fits
from metaray.platform.compare.plan import Plan
from metaray.platform.compare.progress import RunsProgress
from metaray.platform.compare.results import Results
from metaray.platform.experiment.registry import experiment_of
from metaray.platform.run.directory import fresh_place
from metaray.platform.run.lock import locked
from metaray.platform.run.storage.working_copy import shared_folder


@dataclass(frozen=True)
class LaunchOptions:
    """What may differ each time that a comparison is started or resumed."""

    address: str = "local"
    parallel: int | None = None
    """runs at once; None: as many as there is room for"""
    callbacks: Sequence[Callback] = ()
    """they follow the comparison; those of its settings follow each run"""


def compare(
    plan: Plan, place: str | Path | None, options: LaunchOptions, console: Console
) -> Results:
    """A new comparison: every run, then tables, plots and page.

    Args:
        plan: what is compared.
        place: new folder; None: a name with the time in ``runs``.
        options: where and how it is started.
        console: shows the progress.

    Raises:
        InputError: ``place`` is taken, or a run needs what the cluster does not have.
        ClusterError: the cluster cannot be reached.
        Stopped: by Ctrl-C, SIGTERM or a callback, after a checkpoint of each run.
    """
    folder = shared_folder(str(place or fresh_place("compare")), "a comparison")
    directory = CompareDirectory(folder.absolute())
    CompareDirectory.check_free(directory.path)
    for note in plan.notes:
        console.print(note)
    return _run(directory, plan, options, console, is_new=True)


def resume(folder: Path, options: LaunchOptions, console: Console) -> Results:
    """Do what is left of the comparison in ``folder``, and write its tables and page again.

    Finished runs are kept, others continue from their checkpoints, and failed ones are tried again.

    Raises:
        InputError, ClusterError, Stopped: as ``compare``; or there is no comparison.
    """
    directory = CompareDirectory.open(user_path(folder).absolute())
    return _run(directory, Plan.read(directory.plan), options, console, is_new=False)


def _run(
    directory: CompareDirectory,
    plan: Plan,
    options: LaunchOptions,
    console: Console,
    is_new: bool,
) -> Results:
    folders = directory.runs(plan)
    left = [folder for folder in folders if not folder.measures.exists()]
    if not left:
        return _concluded(directory, plan)
    for config in plan.configs.values():
        check_monitoring(config.monitoring)
    callbacks = CallbackList([RunsProgress(console, folders), *options.callbacks])
    info = RunInfo(
        folder=directory.path,
        identity=Identity(kind="compare", run=directory.path.name),
        config=plan.common.model_dump(),
        total_steps=experiment_of(plan.common).steps(plan.common),
        stop=callbacks.stop,
    )
    lock = locked(directory.lock, f"the comparison in {directory.path}")
    with ExitStack() as held:
        if not is_new:
            held.enter_context(lock)  # known before Ray starts
        start_s = plan.common.workers.start_timeout_s
        held.enter_context(connected(options.address, metaray, plugins.files(), start_s))
        from metaray.platform.distributed.resources import cluster_nodes

        check_fits(plan, cluster_nodes())
        if is_new:
            CompareDirectory.create(directory.path)
            held.enter_context(lock)
            with directory.beginning():
                plan.write(directory.plan)
        with callbacks.running(info):
            _train(directory, plan, left, options.parallel, callbacks)
            return _concluded(directory, plan)


def _train(
    directory: CompareDirectory,
    plan: Plan,
    left: list[RunFolder],
    parallel: int | None,
    callbacks: CallbackList,
) -> None:
    from metaray.platform.compare.runner import run_all

    for folder in left:
        folder.failure.unlink(missing_ok=True)
    with callbacks.training(), callbacks.attach():
        finished = run_all(plan, left, parallel, callbacks)
    if not finished:
        raise Stopped(
            f"stopped; runs that had begun have a checkpoint: continue with "
            f"metaray compare --resume {directory.path}"
        )


def _concluded(directory: CompareDirectory, plan: Plan) -> Results:
    results = Results.read(directory, plan)
    write_comparison(directory, results)
    return results
