"""All runs of a comparison on a connected Ray, as many at once as there is room for."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic, sleep

from metaray.platform.callbacks.stopping import StopToken
from metaray.platform.compare.directory import RunFolder
from metaray.platform.compare.plan import Plan
from metaray.platform.compare.progress import RunsProgress
from metaray.platform.compare.run_actor import RunJob

_POLL_S = 0.25
_STOP_S = 60.0  # a step, a validation and a checkpoint of the slowest run


def run_all(
    plan: Plan,
    folders: Iterable[RunFolder],
    parallel: int | None,
    progress: RunsProgress,
    stop: StopToken,
) -> bool:
    """Every run of ``folders`` to its end; False when it was stopped before.

    At most ``parallel`` at once (None: as many as fit). One waits for its resources at a time and
    later ones stand behind it, so that a large run is not starved by small ones.
    """
    waiting = list(folders)
    configs = {entry.name: entry for entry in plan.entries}
    jobs: list[RunJob] = []
    try:
        while (waiting or jobs) and not stop.requested():
            placed = all(job.is_placed for job in jobs)
            if waiting and placed and (parallel is None or len(jobs) < parallel):
                folder = waiting.pop(0)
                config = configs[folder.entry].config_of(folder.seed)
                jobs.append(RunJob(config, folder, plan.curves))
            jobs = _advance(jobs, progress)
            sleep(_POLL_S)
        if not jobs and not waiting:
            return True
        _stop(jobs, progress)
        return False
    finally:
        for job in jobs:
            job.close()


def _advance(jobs: list[RunJob], progress: RunsProgress) -> list[RunJob]:
    """Look at each run, show it, and let go of those that are over."""
    for job in jobs:
        job.poll()
        progress.update(job.folder, job.status)
        if job.is_over:
            job.close()
    progress.refresh()
    return [job for job in jobs if not job.is_over]


def _stop(jobs: list[RunJob], progress: RunsProgress) -> None:
    """Give every run the time to save a checkpoint."""
    for job in jobs:
        job.stop()
    deadline = monotonic() + _STOP_S
    while jobs and monotonic() < deadline:
        for job in jobs:
            if not job.is_over:
                job.poll()
            progress.update(job.folder, job.status)
        jobs = [job for job in jobs if not job.is_over]
        progress.refresh()
        sleep(_POLL_S)
