"""Jobs as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from time import time

from rich.table import Table
from rich.text import Text

from metaray.cluster.jobs import JobRecord
from metaray.platform.common.formatting import clock
from metaray.platform.common.terminal import bold

_COLOURS = {"SUCCEEDED": "green", "FAILED": "red", "RUNNING": "cyan", "PENDING": "yellow"}
_LOG_PREFIX = "metaray: "


def jobs_table(jobs: Sequence[JobRecord]) -> Table:
    """A row for each job that we submitted."""
    table = Table("job", "state", "begun", "took", "command", box=None, pad_edge=False)
    for job in jobs:
        if "folder" in job.metadata:
            colour = _COLOURS.get(job.status, "default")
            table.add_row(
                bold(job.job_id),
                Text(job.status.lower(), style=colour),
                _time(job.begun),
                _took(job),
                job.metadata.get("command", ""),
            )
    return table


def job_lines(job: JobRecord) -> Iterator[str]:
    """A job in a few lines."""
    state = job.status.lower()
    yield f"{job.job_id}: {state}, begun {_time(job.begun)}, took {_took(job)}"
    if command := job.metadata.get("command"):
        yield f"command: metaray {command}"
    if folder := job.metadata.get("folder"):
        yield f"run directory: {folder}"
    if job.status == "FAILED":
        yield f"failed: {reason_of(job)}"
    if job.status == "PENDING" and job.message:
        yield job.message.strip().splitlines()[0]


def reason_of(job: JobRecord) -> str:
    """Why a job failed: our own last sentence if there is one, else the last line of all."""
    lines = [line.strip() for line in job.message.splitlines() if line.strip()]
    own = [line for line in lines if line.startswith(_LOG_PREFIX)]
    if own:
        return own[-1].removeprefix(_LOG_PREFIX)
    return lines[-1] if lines else "Ray gives no reason: look at metaray logs"


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else f"{datetime.fromtimestamp(seconds):%d %b %H:%M:%S}"


def _took(job: JobRecord) -> str:
    if job.begun is None:
        return "-"
    return clock((job.ended or time()) - job.begun)
