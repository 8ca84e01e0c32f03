"""``metaray cluster``: a Ray cluster in the background of this machine, or elsewhere."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from metaray.platform.cli.monitoring import monitoring

if TYPE_CHECKING:
    from metaray.cluster.local_cluster import LocalCluster

from metaray.platform.cli import manifest

_STOP_S = 120.0

app = typer.Typer(
    help="A Ray cluster in the background of this machine, for jobs that outlive the terminal.\n\n"
    "All of it listens on loopback alone and, but for its metrics, asks for a token. "
    "`metaray submit` and `--address auto` find it by themselves.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.command(
    epilog="Examples:\n\n"
    "  metaray cluster up\n\n"
    "  metaray cluster up --workers 2 --cpus 4 --gpus 1\n\n"
    "  metaray submit -- train --set workers.count=2"
)
def up(
    workers: Annotated[
        int | None,
        typer.Option(
            min=0, help="Nodes beside the head, as separate processes; 0: the head computes. [1]"
        ),
    ] = None,
    cpus: Annotated[
        int | None, typer.Option(min=1, help="CPUs of each node [its share of the cores].")
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(min=0, help="GPUs of each node [its share of those here].")
    ] = None,
) -> None:
    """Start the cluster; one that is up already stays, and nodes that it lost are started again."""
    from metaray.cluster.shape import default_shape
    from metaray.cluster.start_cluster import up as start
    from metaray.platform.cli.output import console

    given = any(value is not None for value in (workers, cpus, gpus))
    shape = default_shape(workers, cpus, gpus) if given else None
    with console.status("starting the cluster"):
        cluster = start(shape, lambda text: console.print(text))
    _show(cluster)


@app.command(epilog="Example:\n\n  metaray cluster down")
def down() -> None:
    """Stop its jobs, which save a checkpoint, and end the processes that `up` started.

    Run directories stay. Where nothing is up, nothing happens.
    """
    from metaray.cluster.local_cluster import changing, noted_cluster
    from metaray.platform.cli.output import console

    with changing():
        cluster = noted_cluster()
        if cluster is None:
            console.print("no cluster of this machine is up")
            return
        was_up = cluster.is_up
        if was_up:
            _stop_jobs(cluster)
        cluster.end()
    console.print(
        "the cluster is down" if was_up else "the cluster had ended: removed what was left"
    )


@app.command(epilog="Example:\n\n  metaray cluster status")
def status() -> None:
    """Show nodes, what they offer, jobs, addresses, and how to log in to the dashboard."""
    from metaray.cluster.errors import ClusterError
    from metaray.cluster.local_cluster import noted_cluster

    cluster = noted_cluster()
    if cluster is None:
        raise ClusterError("no cluster of this machine is up: start one with metaray cluster up")
    if not cluster.is_up:
        raise ClusterError(
            "the cluster of this machine has ended, by a restart or a crash: start it again with "
            "metaray cluster up"
        )
    _show(cluster)


def _stop_jobs(cluster: LocalCluster) -> None:
    """Give every job the time to save a checkpoint."""
    from metaray.cluster.errors import ClusterError
    from metaray.platform.cli.output import console

    try:
        if not (jobs := cluster.dashboard.unfinished_jobs()):
            return
        from metaray.cluster.jobs import JobClient

        client = JobClient(cluster.dashboard)
        for job_id in jobs:
            console.print(f"stopping job {job_id}")
            client.stop(job_id)
        deadline = monotonic() + _STOP_S
        for job_id in jobs:
            client.wait(job_id, max(0.0, deadline - monotonic()))
    except ClusterError as error:
        console.print(f"its jobs could not be stopped: {error}")


app.command(epilog=manifest.EPILOG)(manifest.manifest)
app.command()(monitoring)


def _show(cluster: LocalCluster) -> None:
    from rich.table import Table

    from metaray.cluster.home import token_file
    from metaray.platform.cli.output import console

    nodes = cluster.dashboard.nodes()
    table = Table("node", "CPU", "GPU", "memory", box=None, pad_edge=False)
    for node in nodes:
        table.add_row(
            "head" if node.is_head else f"worker {node.node_id[:8]}",
            f"{node.resources.get('CPU', 0):g}",
            f"{node.resources.get('GPU', 0):g}",
            f"{node.resources.get('memory', 0) / 2**30:.1f} GiB",
        )
    console.print(table)
    if cluster.num_lost:
        console.print(f"{cluster.num_lost} of its nodes ended: start them with metaray cluster up")
    jobs = len(cluster.dashboard.unfinished_jobs())
    ports = ", ".join(str(node.metrics_port) for node in cluster.nodes)
    facts = Table(box=None, pad_edge=False, show_header=False)
    facts.add_row("jobs", f"{jobs} not finished (metaray jobs lists all)")
    facts.add_row("address", f"{cluster.address} (found by --address auto)")
    facts.add_row("dashboard", f"{cluster.dashboard_url} (log in with the token in {token_file()})")
    facts.add_row("metrics", f"127.0.0.1, {ports} (for Prometheus)")
    facts.add_row("logs", str(cluster.folder / "ray" / "session_latest" / "logs"))
    console.print(facts)
