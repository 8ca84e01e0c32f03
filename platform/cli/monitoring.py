"""``metaray cluster monitoring``: the files from which Prometheus and Grafana start."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer


def monitoring(
    folder: Annotated[Path, typer.Argument(help="Folder for the files; made if need be.")],
    discovery: Annotated[
        Path | None,
        typer.Option(
            help="prom_metrics_service_discovery.json in the temporary folder of the cluster's "
            "head [that of metaray cluster up, or of ray start, on this machine]."
        ),
    ] = None,
) -> None:
    """Write settings, alert rules and dashboards for Prometheus and Grafana.

    Both run on the machine of the cluster's head, bound to loopback. docs/monitoring.md says what
    is exported.
    """
    from metaray.cluster.monitoring.files import DISCOVERY, PROMETHEUS_URL, write_monitoring

    found = discovery or _temporary_folder() / DISCOVERY
    write_monitoring(folder, found)
    at, address = folder.absolute(), PROMETHEUS_URL.removeprefix("http://")
    typer.echo(
        f"targets come from {found}, which the head of the cluster writes\n\n"
        "start Prometheus:\n"
        f"  prometheus --config.file={at}/prometheus.yml --storage.tsdb.path={at}/data "
        f"--web.listen-address={address}\n\n"
        "start Grafana (dashboards in its folder metaray):\n"
        f"  GF_PATHS_PROVISIONING={at}/grafana/provisioning GF_SERVER_HTTP_ADDR=127.0.0.1 "
        "grafana server --homepath /usr/share/grafana"
    )


def _temporary_folder() -> Path:
    """Ray's, of the cluster of this machine."""
    from metaray.cluster.local_cluster import running_cluster

    cluster = running_cluster()
    return Path(tempfile.gettempdir()) / "ray" if cluster is None else cluster.folder / "ray"
