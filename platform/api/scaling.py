"""More or fewer workers for a run that trains."""

from __future__ import annotations

from pathlib import Path

from metaray.algorithms.errors import InputError
from metaray.platform.experiment.registry import experiment_in
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.status import Status
from metaray.platform.run.worker_requests import request_workers


def scale(folder: Path, count: int) -> None:
    """Ask the run that trains in ``folder`` for ``count`` workers, from its next step on.

    Raises:
        InputError: there is no run, it does not train now, or it cannot change its workers.
    """
    run = RunDirectory.open(folder)
    experiment = experiment_in(run)
    config = experiment.read(run.config)
    later = f"{config.command} --resume {folder} --set workers.count={count}"
    if not experiment.scales:
        raise InputError(
            f"{experiment.plural} keep their number of workers while they train, and {folder} is "
            f"one: stop it, and continue with {later}"
        )
    if config.workers.count == 0:
        raise InputError(
            f"{folder} trains in its own process, without workers: stop it, and continue with "
            f"{later}"
        )
    status = Status.read(run.path)
    if status is None or status.is_over or not status.is_alive:
        state = "is not running" if status is None or not status.is_over else f"is {status.state}"
        remedy = "" if state == "is done" else f": continue with {later}"
        raise InputError(f"{folder} {state}, and only a run that trains can be scaled{remedy}")
    if status.state == "testing":
        raise InputError(f"{folder} has been trained and is being tested: its workers stay")
    request_workers(run, count)
