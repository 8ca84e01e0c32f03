"""``metaray submit`` and what looks after the jobs: jobs, status, logs, stop, fetch."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from metaray.cluster.access import Access
    from metaray.cluster.jobs import JobClient, JobRecord

SUBMIT_EPILOG = (
    "Examples:\n\n"
    "  metaray submit -- train --set method.name=protonet --set workers.count=2\n\n"
    "  metaray submit --name omniglot --wait -- train omniglot.toml\n\n"
    "  metaray submit --address http://10.0.0.5:8265 -- sweep omniglot.toml --num-trials 40\n\n"
    "  metaray submit -- train --resume omniglot\n\n"
    "  metaray submit -- evaluate omniglot --set evaluate.num_episodes=2000\n\n"
    "  metaray submit --name letters -- serve omniglot --replicas 2\n\n"
    "Without --address: the cluster of $RAY_ADDRESS, else that of `metaray cluster up`, else the "
    "one that `ray start` began on this machine. A cluster elsewhere is entered with the token in "
    "RAY_AUTH_TOKEN."
)
_START_S = 30.0
_STOP_S = 900.0

EPILOGS = {
    "jobs": ("metaray jobs", "metaray jobs --address http://10.0.0.5:8265"),
    "status": ("metaray status omniglot",),
    "logs": ("metaray logs omniglot", "metaray logs omniglot --follow"),
    "stop": ("metaray stop omniglot", "metaray submit -- train --resume omniglot"),
    "fetch": ("metaray fetch omniglot runs/omniglot",),
}

Dashboard = Annotated[
    str | None,
    typer.Option(
        "--address", help="The cluster: http://HOST:8265 or HOST:PORT [the one that is found]."
    ),
]
JobId = Annotated[str, typer.Argument(help="Id of a job, as `metaray jobs` lists it.")]


def submit(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND", help="train, sweep, compare, transfer, evaluate or serve ..."
        ),
    ],
    address: Dashboard = None,
    name: Annotated[str | None, typer.Option(help="Id of the job [COMMAND-TIME].")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Show what it prints, and end as it ends.")
    ] = False,
) -> None:
    """Run a command as a job of a cluster; it continues when this terminal is closed.

    Everything after -- is a command of metaray. It is checked here first; then the package and
    the files of settings that it names are sent. Data is not: it must be on the cluster. The run
    directory is made there, in ~/.metaray/runs/ID or --out; `metaray fetch` brings it home. A run
    to --resume or to evaluate is given by the id of its job, or by its folder there.
    """
    from metaray.platform.cli.main import app
    from metaray.platform.cli.output import console
    from metaray.platform.jobs.command import parse_command
    from metaray.platform.jobs.submission import submit as send

    request = parse_command(arguments, typer.main.get_command(app))
    access = _access(address)
    open_client = cache(lambda: _client(access))
    sent = send(request, name, access, open_client, lambda note: console.print(note))
    client, job_id = open_client(), sent.job_id
    console.print(f"job {job_id}, run directory {sent.folder}")
    if wait:
        _end_as(_follow(client, job_id))
    job = client.wait_for_start(job_id, _START_S)
    if job.status == "FAILED":
        _end_as(job)
    console.print(
        f"{job.status.lower()}; look at it with metaray status {job_id}, "
        f"or metaray logs {job_id} --follow",
    )


def jobs(address: Dashboard = None) -> None:
    """List the jobs of a cluster, the newest first."""
    from metaray.platform.cli.output import console
    from metaray.platform.jobs.words import jobs_table

    console.print(jobs_table(_client(_access(address)).jobs()))


def status(job_id: JobId, address: Dashboard = None) -> None:
    """Show one job: its state, command, run directory, and why it failed."""
    from metaray.platform.cli.output import console
    from metaray.platform.jobs.words import job_lines

    for line in job_lines(_client(_access(address)).job(job_id)):
        console.print(line)


def logs(
    job_id: JobId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep printing until the job ends.")
    ] = False,
    address: Dashboard = None,
) -> None:
    """Print what a job printed."""
    client = _client(_access(address))
    if follow:
        _follow(client, job_id)
    else:
        sys.stdout.write(client.logs(job_id))


def stop(job_id: JobId, address: Dashboard = None) -> None:
    """Stop a job as Ctrl-C would: it saves a checkpoint first, so that it can be resumed."""
    from metaray.platform.cli.output import console
    from metaray.platform.jobs.words import job_lines

    client = _client(_access(address))
    if client.job(job_id).is_over:
        console.print(f"job {job_id} has ended already")
    else:
        client.stop(job_id)
        with console.status("the job ends its step and saves a checkpoint"):
            client.wait(job_id, _STOP_S)
    for line in job_lines(client.job(job_id)):
        console.print(line)


def fetch(
    job_id: JobId,
    folder: Annotated[Path, typer.Argument(help="New folder for the run directory.")],
    address: Dashboard = None,
) -> None:
    """Copy the run directory of a job to this machine.

    The folder appears when the copy is complete. For a job that still runs, it holds what the job
    has written so far.
    """
    from metaray.platform.cli.output import console
    from metaray.platform.jobs.fetch import fetch as bring

    access = _access(address)
    with console.status("fetching"):
        count = bring(job_id, folder, access, _client(access))
    console.print(f"{folder}: {count} files of job {job_id}")


def _access(address: str | None) -> Access:
    from metaray.cluster.access import find_access

    return find_access(address)


def _client(access: Access) -> JobClient:
    from metaray.cluster.jobs import JobClient

    return JobClient(access.dashboard)


def _follow(client: JobClient, job_id: str) -> JobRecord:
    def show(piece: str) -> None:
        sys.stdout.write(piece)
        sys.stdout.flush()

    try:
        return client.follow(job_id, show)
    except KeyboardInterrupt:
        typer.echo(
            f"\nmetaray: job {job_id} still runs: end it with metaray stop {job_id}", err=True
        )
        raise SystemExit(130) from None


def _end_as(job: JobRecord) -> None:
    """Exit as the job did, with its reason."""
    from metaray.platform.jobs.words import reason_of

    if job.status == "SUCCEEDED":
        raise SystemExit(0)
    if job.status == "STOPPED":
        typer.echo(f"metaray: job {job.job_id} was stopped", err=True)
        raise SystemExit(130)
    typer.echo(f"metaray: job {job.job_id} failed: {reason_of(job)}", err=True)
    raise SystemExit(job.exit_code or 1)
