"""Looking on a job of a cluster: its run directory where that is here, else state and log."""

from __future__ import annotations

from pathlib import Path
from time import sleep

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from metaray.algorithms.errors import InputError
from metaray.cluster.access import find_access
from metaray.cluster.errors import ClusterError
from metaray.cluster.jobs import JobClient
from metaray.platform.jobs.submission import own
from metaray.platform.jobs.words import job_lines
from metaray.platform.watch.reader import is_watchable

_POLL_S = 3.0
_LINES = 20


class RemoteJob:
    """A job whose run directory this machine does not see."""

    def __init__(self, client: JobClient, job_id: str) -> None:
        self._client = client
        self._job_id = job_id

    def watch(self, console: Console, once: bool) -> None:
        """Show its state and the end of its log until it ends, or once."""
        if once or not console.is_terminal or self._is_over():
            console.print(self._view())
            return
        with Live(self._view(), console=console, auto_refresh=False) as live:
            while not self._is_over():
                sleep(_POLL_S)
                live.update(self._view(), refresh=True)

    def _is_over(self) -> bool:
        return self._client.job(self._job_id).is_over

    def _view(self) -> RenderableType:
        lines = self._client.logs(self._job_id).splitlines()[-_LINES:]
        head = "\n".join(job_lines(self._client.job(self._job_id)))
        return Group(Text(head), Panel(Text("\n".join(lines)), border_style="dim"))


def find_job(job_id: str, address: str | None, console: Console) -> Path | RemoteJob:
    """The run directory of a job, once it has begun; or the job, if that lies elsewhere.

    Raises:
        InputError: there is no such job, or it ended before it had a run directory.
    """
    try:
        access = find_access(address)
        client = JobClient(access.dashboard)
        job = own(client.job(job_id))
    except ClusterError as error:
        raise InputError(
            f"there is no folder {Path(job_id).absolute()}, and no job {job_id} was found: {error}"
        ) from error
    if not access.is_here:
        return RemoteJob(client, job_id)
    folder = Path(job.metadata["folder"])
    with console.status(f"job {job_id} is {job.status.lower()}"):
        while not is_watchable(folder):
            if client.job(job_id).is_over:
                raise InputError(
                    f"job {job_id} ended before it had a run directory: see metaray logs {job_id}"
                )
            sleep(_POLL_S)
    return folder
