"""Starting the cluster of this machine: a head, nodes beside it, all on loopback.

The ports of the dashboard and of the metrics are the usual ones where they are free; every other
port is any that is free.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import psutil

from metaray.cluster.errors import ClusterError
from metaray.cluster.home import ensure_token
from metaray.cluster.local_cluster import LocalCluster, NodeProcess, changing, noted_cluster
from metaray.cluster.private_folder import private_folder
from metaray.cluster.processes import ProcessMark
from metaray.cluster.proxies import avoid_proxies
from metaray.cluster.ray_environment import LOOPBACK_NODE, SHORT_TASK_HISTORY, patient
from metaray.cluster.shape import ClusterShape, default_shape

_HOST = "127.0.0.1"
_GCS_PORT = 6379
_DASHBOARD_PORT = 8265
_METRICS_PORT = 8080
_START_S = 120.0
_POLL_S = 0.2
_JOB_START_S = 120
_MIN_OBJECT_STORE_BYTES = 100 * 2**20
_SHARE_OF_MEMORY = 0.3  # as Ray takes for one node


def up(shape: ClusterShape | None, notify: Callable[[str], None]) -> LocalCluster:
    """The cluster of this machine, started or completed if need be.

    Args:
        shape: None: that of the cluster that is up, or else the default one.
        notify: takes a sentence about what is being done.

    Raises:
        ClusterError: one of another shape is up, or it does not start.
    """
    with changing():
        cluster = noted_cluster()
        if cluster is not None and not cluster.is_up:
            notify("the cluster that was started before has ended: starting a new one")
            cluster.end()  # what is left of it
            cluster = None
        if cluster is None:
            return _start_new(shape or default_shape(), notify)
        if shape not in (None, cluster.shape):
            raise ClusterError(
                f"a cluster of another shape is up ({cluster.shape.text}): end it with "
                "metaray cluster down, or leave out --workers, --cpus and --gpus"
            )
        return _complete(cluster)


def _start_new(shape: ClusterShape, notify: Callable[[str], None]) -> LocalCluster:
    """A new cluster; a second try where the first one fails, as it may on a busy machine."""
    for tries_left in (1, 0):
        try:
            return _complete(_start_head(shape))
        except BaseException as error:
            if (begun := noted_cluster()) is not None:
                begun.end()
            if not tries_left or not isinstance(error, ClusterError):
                raise
            notify(f"{error}; trying once more")
    raise AssertionError("the last try returns or raises")


def _start_head(shape: ClusterShape) -> LocalCluster:
    folder = private_folder()
    (folder / "nodes").mkdir()
    gcs, dashboard = free_port(_GCS_PORT), free_port(_DASHBOARD_PORT)
    cluster = LocalCluster(
        shape=shape,
        address=f"{_HOST}:{gcs}",
        dashboard_url=f"http://{_HOST}:{dashboard}",
        folder=folder,
        nodes=(),
    )
    return _start_node(
        cluster, 0,
        "--head", f"--port={gcs}", f"--dashboard-host={_HOST}", f"--dashboard-port={dashboard}",
        f"--ray-client-server-port={free_port(0)}", f"--temp-dir={folder / 'ray'}",
    )  # fmt: skip


def _complete(cluster: LocalCluster) -> LocalCluster:
    """Wait for the head, then start the worker nodes that are missing.

    One after the other: Ray gives a node 30 s to start, which many at once would not meet.
    """
    cluster = replace(cluster, nodes=tuple(node for node in cluster.nodes if node.is_up))
    web = cluster.dashboard_url.removeprefix("http://")
    _wait(cluster, lambda: _answers(cluster.address) and _answers(web), "the head")
    for index in range(1, 1 + cluster.shape.workers):
        if all(node.index != index for node in cluster.nodes):
            cluster = _start_node(cluster, index, f"--address={cluster.address}")
            _wait_for_nodes(cluster)
    _wait_for_nodes(cluster)
    return cluster


def _wait_for_nodes(cluster: LocalCluster) -> None:
    _wait(cluster, lambda: len(cluster.dashboard.nodes()) >= len(cluster.nodes), "its nodes")


def _start_node(cluster: LocalCluster, index: int, *arguments: str) -> LocalCluster:
    """``cluster`` with one more node, which is noted, so that it can be ended later."""
    shape, port = cluster.shape, free_port(_METRICS_PORT + index)
    offers = index > 0 or not shape.workers
    command = [
        sys.executable, "-m", "metaray.cluster.loopback_node", "start", "--block",
        f"--node-ip-address={_HOST}", f"--metrics-export-port={port}",
        f"--num-cpus={shape.cpus if offers else 0}", f"--num-gpus={shape.gpus if offers else 0}",
        f"--object-store-memory={_object_store_bytes(shape)}",
        "--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0",
        "--disable-usage-stats", "--log-color=false", *arguments,
    ]  # fmt: skip
    with cluster.log(index).open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=cluster.folder,
            env=_environment(shape, index),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C at the terminal is not for it
        )
    node = NodeProcess(index=index, mark=ProcessMark.of(process.pid), metrics_port=port)
    cluster = replace(cluster, nodes=(*cluster.nodes, node))
    cluster.write()
    return cluster


def _environment(shape: ClusterShape, index: int) -> dict[str, str]:
    """That of this process, with Ray's settings exchanged for ours."""
    avoid_proxies()
    shown = ("RAY_GRAFANA", "RAY_PROMETHEUS")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_") or k.startswith(shown)}
    if "PYTHONPATH" in kept:  # nodes run in another folder
        kept["PYTHONPATH"] = os.pathsep.join(
            os.path.abspath(part) for part in kept["PYTHONPATH"].split(os.pathsep) if part
        )
    if shape.gpus and index:
        kept["CUDA_VISIBLE_DEVICES"] = shape.gpus_of(index - 1)
    return kept | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(ensure_token()),
        **dict([LOOPBACK_NODE, SHORT_TASK_HISTORY]),
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "RAY_JOB_START_TIMEOUT_SECONDS": str(_JOB_START_S),
        **patient(_START_S),
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # an actor without GPUs sees none
        "AUTOSCALER_METRIC_PORT": str(free_port(44217)),
        "DASHBOARD_METRIC_PORT": str(free_port(44227)),
    }


def _object_store_bytes(shape: ClusterShape) -> int:
    share = psutil.virtual_memory().available * _SHARE_OF_MEMORY / (1 + shape.workers)
    return max(_MIN_OBJECT_STORE_BYTES, int(share))


def free_port(wanted: int) -> int:
    """``wanted``, or any other where that is taken."""
    for port in (wanted, 0):
        with socket.socket() as listener:
            try:
                listener.bind((_HOST, port))
            except OSError:
                continue
            found: int = listener.getsockname()[1]
            return found
    raise ClusterError("no port of this machine is free: end what holds them")


def _answers(place: str) -> bool:
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def _wait(cluster: LocalCluster, ready: Callable[[], bool], what: str) -> None:
    deadline = monotonic() + _START_S
    while True:
        if cluster.num_lost:
            raise ClusterError(_not_started(cluster, "a node ended at once"))
        try:
            if ready():
                return
        except ClusterError:
            pass  # the dashboard answers before it knows everything
        if monotonic() > deadline:
            raise ClusterError(_not_started(cluster, f"{what} took over {_START_S:.0f} s"))
        sleep(_POLL_S)


def _not_started(cluster: LocalCluster, why: str) -> str:
    said = [
        line.strip()
        for node in cluster.nodes
        for line in cluster.log(node.index).read_text(errors="replace").splitlines()
        if any(word in line for word in ("Error", "Exception", "ailed"))
    ]
    last = f": {said[-1]}" if said else ""
    return f"the cluster did not start ({why}{last}): look for lack of memory, then try again"
