"""Texts that are no YAML: a Dockerfile, and a script for Slurm."""

from __future__ import annotations

import shlex
import sys
from importlib.metadata import version
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from metaray.cluster.errors import ClusterError
from metaray.cluster.manifests.config import ClusterConfig
from metaray.cluster.manifests.forms import shell_path


def docker(config: ClusterConfig) -> str:
    """A Dockerfile for the versions of metaray, Ray and Python that make it."""
    return _rendered(
        "Dockerfile.jinja",
        image=config.image,
        metaray=version("metaray"),
        ray=version("ray"),
        python=f"{sys.version_info.major}{sys.version_info.minor}",
    )


def slurm(config: ClusterConfig) -> str:
    """A script for ``sbatch``: ``max`` nodes of the one group of workers, the first with the head.

    Raises:
        ClusterError: there are several groups.
    """
    if len(config.workers) > 1:
        raise ClusterError(
            f"a Slurm job has nodes of one kind, the cluster has {len(config.workers)} groups of "
            "workers: leave one [[workers]]"
        )
    (group,) = config.workers
    return _rendered(
        "slurm.sh.jinja",
        name=config.name,
        nodes=group.max,
        cpus=group.cpus,
        gpus=group.gpus,
        memory_gb=group.memory_gb,
        partition=config.slurm.partition,
        time=config.slurm.time,
        environment=shell_path(config.slurm.environment),
        storage=shell_path(config.storage),
        command=shlex.join(shlex.split(config.command)),
    )


def _rendered(template: str, **values: Any) -> str:
    templates = Environment(
        loader=PackageLoader("metaray.cluster.manifests", "."),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    return templates.get_template(template).render(values)
