"""Jobs of a cluster, through the Jobs API of its dashboard."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

from metaray.cluster.dashboard import Dashboard, refused, unreachable
from metaray.cluster.errors import ClusterError
from metaray.cluster.ray_environment import knock, prepare

RUNNING = ("PENDING", "RUNNING")
_TALKATIVE = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
_POLL_S = 0.5
_STOP_WAIT_S = 600  # a step, a validation and a checkpoint of the slowest run


@dataclass(frozen=True)
class JobRecord:
    """What a cluster knows of a job."""

    job_id: str
    status: str
    """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED"""
    metadata: Mapping[str, str]
    """what was noted when it was submitted"""
    begun: float | None
    """seconds since the epoch"""
    ended: float | None
    message: str
    exit_code: int | None

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.status not in RUNNING


class JobClient:
    """The jobs of one cluster. All methods raise ClusterError where it cannot be reached."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        place = urlsplit(dashboard.url)
        try:
            knock(place.hostname or "", place.port or (443 if place.scheme == "https" else 80))
        except (OSError, UnicodeError) as error:
            raise unreachable(dashboard, error) from None
        prepare()
        with _saying(dashboard), _own_address():
            from ray.job_submission import JobSubmissionClient

            for name in _TALKATIVE:
                logging.getLogger(name).setLevel(logging.WARNING)
            self._client = JobSubmissionClient(dashboard.url, headers=dashboard.headers)

    def submit(
        self,
        job_id: str,
        module: str,
        package: Path,
        files: Path,
        metadata: dict[str, str],
    ) -> None:
        """Run ``python -m module`` as a job, in a folder of ``files``, able to import ``package``.

        Raises:
            ClusterError: there is a job ``job_id`` already.
        """
        environment = {"RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_WAIT_S)}
        with _saying(self._dashboard, job_id):
            self._client.submit_job(
                entrypoint=f"exec python -m {module}",  # exec: signals reach Python itself
                submission_id=job_id,
                metadata=metadata,
                runtime_env={
                    "working_dir": str(files),
                    "py_modules": [str(package)],
                    "env_vars": environment,
                },
            )

    def jobs(self) -> list[JobRecord]:
        """Those that were submitted, the newest first."""
        with _saying(self._dashboard):
            found = [_record(job) for job in self._client.list_jobs() if job.submission_id]
        return sorted(found, key=lambda job: -(job.begun or 0.0))

    def job(self, job_id: str) -> JobRecord:
        """One of them.

        Raises:
            ClusterError: there is none of that id.
        """
        with _saying(self._dashboard, job_id):
            return _record(self._client.get_job_info(job_id))

    def logs(self, job_id: str) -> str:
        """What it printed up to now."""
        with _saying(self._dashboard, job_id):
            return str(self._client.get_job_logs(job_id))

    def follow(self, job_id: str, show: Callable[[str], None]) -> JobRecord:
        """Hand what it prints to ``show``, piece by piece, until it ends; the job then."""

        async def each(pieces: AsyncIterator[str]) -> None:
            async for piece in pieces:
                show(piece)

        while not (job := self.job(job_id)).is_over and job.status == "PENDING":
            sleep(_POLL_S)
        with _saying(self._dashboard, job_id):
            asyncio.run(each(self._client.tail_job_logs(job_id)))
        return self.wait(job_id)

    def wait(self, job_id: str, timeout_s: float | None = None) -> JobRecord:
        """The job once it has ended, or after ``timeout_s`` seconds."""
        deadline = None if timeout_s is None else monotonic() + timeout_s
        while not (job := self.job(job_id)).is_over:
            if deadline is not None and monotonic() > deadline:
                break
            sleep(_POLL_S)
        return job

    def wait_for_start(self, job_id: str, timeout_s: float) -> JobRecord:
        """The job once it is not pending any more, or after ``timeout_s`` seconds."""
        deadline = monotonic() + timeout_s
        while (job := self.job(job_id)).status == "PENDING" and monotonic() < deadline:
            sleep(_POLL_S)
        return job

    def stop(self, job_id: str) -> None:
        """Ask it to stop as Ctrl-C would; it may take the time of a step and a checkpoint."""
        with _saying(self._dashboard, job_id):
            self._client.stop_job(job_id)


def _record(job: Any) -> JobRecord:
    return JobRecord(
        job_id=job.submission_id or job.job_id,
        status=str(getattr(job.status, "value", job.status)),
        metadata=job.metadata or {},
        begun=None if job.start_time is None else job.start_time / 1000,
        ended=None if job.end_time is None else job.end_time / 1000,
        message=job.message or "",
        exit_code=job.driver_exit_code,
    )


@contextmanager
def _own_address() -> Iterator[None]:
    """Without the variables that would win over the address that is given."""
    names = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


@contextmanager
def _saying(dashboard: Dashboard, job_id: str | None = None) -> Iterator[None]:
    """What Ray and its HTTP library raise, as one sentence."""
    try:
        yield
    except ClusterError:
        raise
    except Exception as error:
        raise _sentence(error, dashboard, job_id) from error


def _sentence(error: Exception, dashboard: Dashboard, job_id: str | None) -> ClusterError:
    said, name = str(error), type(error).__name__
    if name == "AuthenticationError":
        return refused(dashboard, 401 if "401" in said or "required" in said else 403, said)
    lost_names = ("Client", "ServerDisconnected", "WSServer")  # of aiohttp's errors
    if isinstance(error, OSError) or name.startswith(lost_names) or "WebSocket" in said:
        still_there = f"; job {job_id} continues there without this terminal" if job_id else ""
        lost = unreachable(dashboard, type(error).__name__)
        return ClusterError(f"{lost}{still_there}")
    if job_id and "does not exist" in said:
        return ClusterError(
            f"the cluster at {dashboard.label} has no job {job_id}: metaray jobs lists those it "
            "has (it forgets all when it is restarted)"
        )
    if job_id and "already" in said:
        return ClusterError(
            f"the cluster at {dashboard.label} has a job {job_id} already: choose another --name, "
            "or leave it out"
        )
    lines = [line for line in said.strip().splitlines() if line.strip()] or [name]
    return ClusterError(f"the cluster at {dashboard.label} refuses ({lines[-1].strip()})")
