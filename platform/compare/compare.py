"""A comparison from beginning to end: what the command does."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

import metaray
from metaray.algorithms import plugins
from metaray.cluster.connect import connected
from metaray.platform.callbacks.stopping import StopToken
from metaray.platform.common.errors import Stopped
from metaray.platform.compare.directory import CompareDirectory, RunFolder
from metaray.platform.compare.page import write_comparison
from metaray.platform.compare.placement import check_fits
from metaray.platform.compare.plan import Plan
from metaray.platform.compare.progress import RunsProgress
from metaray.platform.compare.results import Results


def compare(plan: Plan, out: Path, address: str, parallel: int | None, console: Console) -> Results:
    """A new comparison in ``out``: every run, then tables, plots and page.

    Raises:
        InputError: ``out`` is taken, or a run needs what the cluster does not have.
        ClusterError: the cluster cannot be reached.
        Stopped: on Ctrl-C or SIGTERM, after a checkpoint of each run.
    """
    directory = CompareDirectory(out.absolute())
    CompareDirectory.check_free(directory.path)
    return _conclude(directory, plan, address, parallel, console, is_new=True)


def resume(folder: Path, address: str, parallel: int | None, console: Console) -> Results:
    """Do what is left of the comparison in ``folder``, and write its tables and page again.

    Finished runs are kept, others go on from their checkpoints, and failed ones are tried again.

    Raises:
        InputError, ClusterError, Stopped: as ``compare``; or there is no comparison.
    """
    directory = CompareDirectory.open(folder.absolute())
    plan = Plan.read(directory.plan)
    return _conclude(directory, plan, address, parallel, console, is_new=False)


def _conclude(
    directory: CompareDirectory,
    plan: Plan,
    address: str,
    parallel: int | None,
    console: Console,
    is_new: bool,
) -> Results:
    left = [folder for folder in directory.runs(plan) if not folder.measures.exists()]
    if left:
        with connected(address, metaray, plugins.files()):
            from metaray.platform.distributed.resources import cluster_nodes

            check_fits(plan, cluster_nodes())
            if is_new:
                plan.write(CompareDirectory.create(directory.path).plan)
            _run(directory, plan, left, parallel, console)
    results = Results.read(directory, plan)
    write_comparison(directory, results)
    return results


def _run(
    directory: CompareDirectory,
    plan: Plan,
    left: list[RunFolder],
    parallel: int | None,
    console: Console,
) -> None:
    from metaray.platform.compare.runner import run_all

    for folder in left:
        folder.failure.unlink(missing_ok=True)
    stop = StopToken()
    with stop.on_signals(), RunsProgress(console, directory.runs(plan)) as progress:
        finished = run_all(plan, left, parallel, progress, stop)
    if not finished:
        raise Stopped(
            f"stopped; runs that had begun have a checkpoint: continue with "
            f"metaray compare --resume {directory.path}"
        )
