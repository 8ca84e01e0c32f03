"""Clusters and jobs for the KubeRay operator."""

from __future__ import annotations

import shlex
from importlib.metadata import version
from typing import Any

from metaray.cluster.manifests.config import ClusterConfig, GroupConfig, HeadConfig

_DATA = "/data"
_GPU = "nvidia.com/gpu"

_NOTES = """\
Needs the KubeRay operator, 1.5.1 or newer, and the image (`metaray cluster manifest docker`).
The operator makes the token and keeps it in a secret; nothing is reached from outside the cluster.
Data must be where data.root and data.cache say on every pod: in the image, or on the volume
claim at /data (set kubernetes.claim, and --set data.cache=/data/cache).
"""
CLUSTER_NOTES = f"""\
A Ray cluster on Kubernetes.
{_NOTES}
  kubectl apply -f FILE
  kubectl -n {{namespace}} port-forward service/{{name}}-head-svc 8265:8265    dashboard, Jobs API
  kubectl -n {{namespace}} get secret {{name}} -o jsonpath='{{{{.data.auth_token}}}}' | base64 -d

The last line prints the token: keep it in a file of mode 600 that RAY_AUTH_TOKEN_PATH names.
"""
JOB_NOTES = f"""\
One job on a Ray cluster that starts and ends with it.
{_NOTES}
  kubectl apply -f FILE
  kubectl -n {{namespace}} get rayjob {{name}}
  kubectl -n {{namespace}} logs -f job/{{name}}

Its run goes to {{storage}}. A job that was lost continues from there: set command to
`train --resume URI` and apply it again.
"""


def cluster(config: ClusterConfig) -> dict[str, Any]:
    """A ``RayCluster``."""
    return _named(config, "RayCluster", _cluster_spec(config))


def job(config: ClusterConfig) -> dict[str, Any]:
    """A ``RayJob`` with its own cluster."""
    command = ["metaray", *shlex.split(config.command), "--address", "auto"]
    spec = {
        "entrypoint": shlex.join(command),
        "backoffLimit": 0,
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": 300,
        "rayClusterSpec": _cluster_spec(config),
    }
    return _named(config, "RayJob", spec)


def _named(config: ClusterConfig, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": config.name, "namespace": config.kubernetes.namespace}
    return {"apiVersion": "ray.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def _cluster_spec(config: ClusterConfig) -> dict[str, Any]:
    return {
        "rayVersion": version("ray"),
        "authOptions": {"mode": "token"},
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {"version": "v2", "idleTimeoutSeconds": 60 * config.idle_minutes},
        "headGroupSpec": {
            "serviceType": "ClusterIP",
            "rayStartParams": {"num-cpus": "0", "disable-usage-stats": "true"},
            "template": {"spec": _head_pod(config)},
        },
        "workerGroupSpecs": [
            {
                "groupName": group.name,
                "replicas": group.min,
                "minReplicas": group.min,
                "maxReplicas": group.max,
                "rayStartParams": {},
                "template": {"spec": _pod(config, group, "ray-worker")},
            }
            for group in config.workers
        ],
    }


def _head_pod(config: ClusterConfig) -> dict[str, Any]:
    pod = _pod(config, config.head, "ray-head")
    container = pod["containers"][0]
    ports = {"gcs-server": 6379, "dashboard": 8265, "metrics": 8080}
    container["ports"] = [{"name": name, "containerPort": number} for name, number in ports.items()]
    storage = config.storage.replace("$(", "$$(")  # which Kubernetes would fill in
    container["env"] = [{"name": "METARAY_RUNS", "value": storage}]
    if secret := config.kubernetes.secret:
        container["envFrom"] = [{"secretRef": {"name": secret}}]
    return pod


def _pod(config: ClusterConfig, group: HeadConfig | GroupConfig, name: str) -> dict[str, Any]:
    """Whole CPUs and all of the memory, as Ray counts on them; GPU nodes are often tainted."""
    resources = {"cpu": str(group.cpus), "memory": f"{group.memory_gb}Gi"}
    pod: dict[str, Any] = {}
    if isinstance(group, GroupConfig) and group.gpus:
        resources[_GPU] = str(group.gpus)
        pod["tolerations"] = [{"key": _GPU, "operator": "Exists", "effect": "NoSchedule"}]
    container: dict[str, Any] = {
        "name": name,
        "image": config.image,
        "resources": {"limits": resources, "requests": dict(resources)},
        "securityContext": {"allowPrivilegeEscalation": False},
    }
    if account := config.kubernetes.service_account:
        pod["serviceAccountName"] = account
    if claim := config.kubernetes.claim:
        container["volumeMounts"] = [{"name": "data", "mountPath": _DATA}]
        pod["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    return pod | {"containers": [container]}
