"""Clusters for ``ray up``: instances of one cloud, and a list of machines with SSH."""

from __future__ import annotations

from typing import Any

from metaray.cluster.errors import ClusterError
from metaray.cluster.manifests.config import ClusterConfig, GroupConfig, HeadConfig
from metaray.cluster.manifests.forms import shell_path

_TOKEN = "~/.ray/auth_token"
_PORT = 6379

AWS_NOTES = """\
A Ray cluster on AWS. Needs `pip install boto3` and your AWS credentials.

  ray get-auth-token --generate && chmod 600 ~/.ray/auth_token    once: the token of your clusters
  ray up FILE                    start it; again after a change of FILE
  ray dashboard FILE             the dashboard and the Jobs API on your own port 8265
  ray down FILE                  end it

Nodes read and write {storage} as the role ray-autoscaler-v1, which Ray makes for the head. Set
machine in the cluster config to types that have at least its cpus, memory_gb and gpus.
"""
SSH_NOTES = """\
A Ray cluster on machines that are there. {user} needs a key that opens all of them, and each needs
a virtual environment with metaray at {environment} (the same Python, the same versions).

  ray get-auth-token --generate && chmod 600 ~/.ray/auth_token    once: the token of your clusters
  ray up FILE                    start it; again after a change of FILE
  ray dashboard FILE             the dashboard and the Jobs API on your own port 8265
  ray down FILE                  end it

Ray's ports are open to the network of these machines, behind the token but not encrypted: let
only the machines themselves reach them.
"""


def aws(config: ClusterConfig) -> dict[str, Any]:
    """For ``ray up`` on AWS; nodes run the image in Docker."""
    groups = {group.name: _instances(config, group) for group in config.workers}
    return {
        "cluster_name": config.name,
        "max_workers": sum(group.max for group in config.workers),
        "idle_timeout_minutes": config.idle_minutes,
        "provider": {
            "type": "aws",
            "region": config.aws.region,
            "use_internal_ips": not config.aws.public,
            "cache_stopped_nodes": False,
        },
        "auth": {"ssh_user": config.aws.user},
        "docker": {
            "image": config.image,
            "container_name": config.name,
            "pull_before_run": True,
            "run_options": ["--ulimit nofile=65536:65536"],
        },
        "available_node_types": {"head": _instances(config, config.head), **groups},
        "head_node_type": "head",
        **_start(config),
    }


def ssh(config: ClusterConfig) -> dict[str, Any]:
    """For ``ray up`` on a list of machines.

    Raises:
        ClusterError: the list is empty, or names a machine twice.
    """
    hosts, head = config.ssh.hosts, config.ssh.head
    if head is None or not hosts:
        raise ClusterError(
            "the machines are not known: set ssh.head to the address of the first, and ssh.hosts "
            "to those of the others"
        )
    if len({head, *hosts}) <= len(hosts):
        raise ClusterError(
            f"ssh.head and ssh.hosts name a machine twice ({head}; {', '.join(hosts)}): the head "
            "is not one of the hosts"
        )
    return {
        "cluster_name": config.name,
        "min_workers": len(hosts),
        "max_workers": len(hosts),
        "provider": {"type": "local", "head_ip": head, "worker_ips": list(hosts)},
        "auth": {"ssh_user": config.ssh.user},
        **_start(config, f". {shell_path(config.ssh.environment + '/bin/activate')} && "),
    }


def _instances(config: ClusterConfig, group: HeadConfig | GroupConfig) -> dict[str, Any]:
    disk = {"VolumeSize": config.aws.disk_gb, "VolumeType": "gp3", "Encrypted": True}
    node = {
        "InstanceType": group.machine,
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": disk}],
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
    }
    if isinstance(group, HeadConfig):
        return {"resources": {"CPU": 0}, "node_config": node}
    resources = {"CPU": group.cpus} | ({"GPU": group.gpus} if group.gpus else {})
    return {
        "resources": resources,
        "node_config": node,
        "min_workers": group.min,
        "max_workers": group.max,
    }


def _start(config: ClusterConfig, prepare: str = "") -> dict[str, Any]:
    """The token, and how Ray starts: with it, and the dashboard on loopback."""
    ray = f"{prepare}ulimit -n 65536; RAY_AUTH_MODE=token"
    runs = f"METARAY_RUNS={shell_path(config.storage)}"
    return {
        "file_mounts": {_TOKEN: _TOKEN},
        "head_start_ray_commands": [
            f"{prepare}ray stop",
            f"{ray} {runs} ray start --head --port={_PORT} --num-cpus=0 --dashboard-host=127.0.0.1 "
            "--autoscaling-config=~/ray_bootstrap_config.yaml --disable-usage-stats",
        ],
        "worker_start_ray_commands": [
            f"{prepare}ray stop",
            f"{ray} ray start --address=$RAY_HEAD_IP:{_PORT} --disable-usage-stats",
        ],
    }
