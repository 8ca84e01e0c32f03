"""All runs of a comparison on a connected Ray, as many at once as there is room for."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic, sleep

from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.compare.directory import RunFolder
from metaray.platform.compare.events import RunUpdated
from metaray.platform.compare.plan import Plan
from metaray.platform.compare.run_actor import RunJob
from metaray.platform.distributed.ray_alive import check_ray

_POLL_S = 0.25
_STOP_S = 60.0  # a step, a validation and a checkpoint of the slowest run


def run_all(
    plan: Plan,
    folders: Iterable[RunFolder],
    parallel: int | None,
    callbacks: CallbackList,
) -> bool:
    """Every run of ``folders`` to its end; False when ``callbacks.stop`` ended it before.

    At most ``parallel`` at once (None: as many as fit). One waits for its resources at a time and
    later ones stand behind it, so that a large run is not starved by small ones.
    """
    waiting = list(folders)
    entries = {entry.name: entry for entry in plan.entries}
    jobs: list[RunJob] = []
    try:
        while (waiting or jobs) and not callbacks.stop.requested():
            placed = all(job.is_placed for job in jobs)
            if waiting and placed and (parallel is None or len(jobs) < parallel):
                folder = waiting.pop(0)
                config = entries[folder.entry].config_of(folder.seed)
                jobs.append(RunJob(config, folder, plan.curves))
            check_ray()
            jobs = _advance(jobs, callbacks)
            sleep(_POLL_S)
        if not jobs and not waiting:
            return True
        jobs = _stop(jobs, callbacks)
        return False
    finally:
        for job in jobs:
            job.close()


def _advance(jobs: list[RunJob], callbacks: CallbackList) -> list[RunJob]:
    """Look at each run, and let go of those that are over; the others."""
    for job in jobs:
        before = job.status
        job.poll()
        if job.status != before:
            _report(job, callbacks)
        if job.is_over:
            job.close()
    return [job for job in jobs if not job.is_over]


def _stop(jobs: list[RunJob], callbacks: CallbackList) -> list[RunJob]:
    """Give every run the time to save a checkpoint; those that took too long."""
    for job in jobs:
        job.stop()
        if job.is_over:  # it had not started
            _report(job, callbacks)
            job.close()
    jobs = [job for job in jobs if not job.is_over]
    deadline = monotonic() + _STOP_S
    while jobs and monotonic() < deadline:
        jobs = _advance(jobs, callbacks)
        sleep(_POLL_S)
    return jobs


def _report(job: RunJob, callbacks: CallbackList) -> None:
    callbacks.on_event(RunUpdated(run=job.folder, progress=job.status))
