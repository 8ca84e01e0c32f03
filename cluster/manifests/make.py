"""Every kind of manifest, as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

from metaray.cluster.manifests import kuberay, ray_up, scripts
from metaray.cluster.manifests.config import ClusterConfig
from metaray.cluster.manifests.example import example

Make = Callable[[ClusterConfig], str]


def _yaml(content: Callable[[ClusterConfig], dict[str, Any]], notes: str) -> Make:
    def make(config: ClusterConfig) -> str:
        values = {
            "name": config.name,
            "storage": config.storage,
            "namespace": config.kubernetes.namespace,
            "user": config.ssh.user,
            "environment": config.ssh.environment,
        }
        lines = notes.format(**values).splitlines()
        header = "".join(f"# {line}".rstrip() + "\n" for line in lines)
        body: str = yaml.safe_dump(content(config), sort_keys=False, width=100)
        return f"{header}\n{body}"

    return make


KINDS: dict[str, Make] = {
    "config": example,
    "aws": _yaml(ray_up.aws, ray_up.AWS_NOTES),
    "ssh": _yaml(ray_up.ssh, ray_up.SSH_NOTES),
    "kuberay-cluster": _yaml(kuberay.cluster, kuberay.CLUSTER_NOTES),
    "kuberay-job": _yaml(kuberay.job, kuberay.JOB_NOTES),
    "docker": scripts.docker,
    "slurm": scripts.slurm,
}
"""The kinds by the name that the command line has for them."""
