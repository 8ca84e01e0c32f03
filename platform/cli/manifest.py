"""``metaray cluster manifest``: what other systems need to start a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

EPILOG = (
    "Examples:\n\n"
    "  metaray cluster manifest config --out cluster.toml     # begin: fill it in\n\n"
    "  metaray cluster manifest kuberay-cluster cluster.toml | kubectl apply -f -\n\n"
    "  metaray cluster manifest ssh cluster.toml --out hosts.yaml && ray up hosts.yaml\n\n"
    "  metaray cluster manifest slurm cluster.toml --out run.sh && sbatch run.sh\n\n"
    "docs/clusters.md tells the rest."
)
Kind = Literal["config", "aws", "ssh", "kuberay-cluster", "kuberay-job", "docker", "slurm"]


def manifest(
    kind: Annotated[
        Kind,
        typer.Argument(
            help="config: the description itself, to begin with; aws and ssh: for ray up; "
            "kuberay-cluster and kuberay-job: for kubectl; docker: a Dockerfile; slurm: for sbatch."
        ),
    ],
    config: Annotated[
        Path | None,
        typer.Argument(help="The cluster in TOML. What it leaves open has defaults."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write [the terminal].")] = None,
) -> None:
    """Make what starts a cluster elsewhere, from one small description of it.

    No manifest holds a secret: tokens and keys are named, or made when the cluster starts. All ask
    for the token, and none opens a port to the world.
    """
    from metaray.algorithms.atomic import write_text
    from metaray.cluster.manifests.config import ClusterConfig
    from metaray.cluster.manifests.make import KINDS
    from metaray.platform.config.loading import read_toml, validate_as

    settings = validate_as(ClusterConfig, read_toml(config) if config else {})
    text = KINDS[kind](settings)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text)
