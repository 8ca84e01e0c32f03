"""A Ray cluster in the background of this machine: what of it is noted, and what of it runs.

``start_cluster.py`` starts it. All of it listens on loopback alone and asks for the token.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from metaray.algorithms.atomic import write_json
from metaray.cluster.dashboard import Dashboard
from metaray.cluster.errors import ClusterError
from metaray.cluster.home import cluster_folder, is_known, token_file, writing
from metaray.cluster.private_folder import remove_folder
from metaray.cluster.processes import ProcessMark, end
from metaray.cluster.shape import ClusterShape

_END_S = 15.0


@dataclass(frozen=True)
class NodeProcess:
    """One node, by the process that leads it."""

    index: int
    """0: the head"""
    mark: ProcessMark
    metrics_port: int
    """where it exports its metrics for Prometheus, on 127.0.0.1"""

    @property
    def is_up(self) -> bool:
        """Whether its process runs."""
        return self.mark.find() is not None


@dataclass(frozen=True)
class LocalCluster:
    """What is noted of the cluster; no secret is among it."""

    shape: ClusterShape
    address: str
    """HOST:PORT for ``--address``"""
    dashboard_url: str
    folder: Path
    """Ray's own files: logs, sockets"""
    nodes: tuple[NodeProcess, ...]
    """the head first"""

    @property
    def is_up(self) -> bool:
        """Whether its head runs."""
        return self.nodes[0].is_up

    @property
    def num_lost(self) -> int:
        """Worker nodes that have ended by themselves."""
        return sum(not node.is_up for node in self.nodes)

    @property
    def dashboard(self) -> Dashboard:
        """To ask it things."""
        return Dashboard(self.dashboard_url, read_token())

    def log(self, index: int) -> Path:
        """What a node printed while it started."""
        return self.folder / "nodes" / f"{index}.log"

    def write(self) -> None:
        """Note it in place of what was noted before."""
        values = asdict(self) | {"folder": str(self.folder)}
        write_json(_state_file(), values)

    def end(self) -> None:
        """End all of its processes and remove Ray's files; nothing that others started."""
        end([node.mark for node in reversed(self.nodes)], _END_S)
        remove_folder(self.folder)
        _state_file().unlink(missing_ok=True)


def noted_cluster() -> LocalCluster | None:
    """The cluster that was started last and not ended, whether or not it still runs.

    Raises:
        ClusterError: the note cannot be read.
    """
    if not is_known():
        return None
    path = _state_file()
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return LocalCluster(
            shape=ClusterShape(**values["shape"]),
            address=values["address"],
            dashboard_url=values["dashboard_url"],
            folder=Path(values["folder"]),
            nodes=tuple(
                NodeProcess(node["index"], ProcessMark(**node["mark"]), node["metrics_port"])
                for node in values["nodes"]
            ),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClusterError(
            f"{path} is not the note of a cluster ({error}): end what runs of it, then delete it"
        ) from None


def running_cluster() -> LocalCluster | None:
    """The cluster of this machine if it is up."""
    cluster = noted_cluster()
    return cluster if cluster is not None and cluster.is_up else None


def read_token() -> str:
    """The token of the cluster of this machine.

    Raises:
        ClusterError: its file is gone or empty.
    """
    why = "the file is empty"
    try:
        if token := token_file().read_text(encoding="ascii").strip():
            return token
    except OSError as error:
        why = error.strerror or type(error).__name__
    raise ClusterError(
        f"the token of this machine's cluster cannot be read ({token_file()}: {why}): run metaray "
        "cluster down, then metaray cluster up"
    )


@contextmanager
def changing() -> Iterator[None]:
    """Only one command at a time starts or ends the cluster."""
    folder = cluster_folder()
    with writing():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (folder / "lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClusterError(
                "another command is starting or ending this machine's cluster: wait for it"
            ) from None
        yield


def _state_file() -> Path:
    return cluster_folder() / "cluster.json"
