"""What the processes of a run reserve on a cluster, and whether they fit: said once for all.

Nodes are given by their resources, as ``{"CPU": 8, "GPU": 1}``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor

from metaray.algorithms.errors import InputError
from metaray.platform.config.schema import ComputeConfig

Resources = Mapping[str, float]
Bundle = dict[str, float]

_EPSILON = 1e-9  # 0.3 / 0.1 is less than 3
_LEAST_CPU = 0.01  # Ray reserves nothing for an empty bundle


class NoRoomError(InputError):
    """The nodes that are there cannot hold what is asked for."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """How many processes of one kind fit on some nodes."""

    in_process: bool
    """whether the run computes in its own process, without workers"""
    wanted: int
    found: int
    """all that fit, which may be more than are wanted"""
    needs: Bundle
    """what each reserves"""
    nodes: Sequence[Resources]

    @property
    def fits(self) -> bool:
        """Whether there is room for all that are wanted."""
        return self.found >= self.wanted

    @property
    def sentence(self) -> str:
        """``there is room for 1 of 2 workers of 1 CPU and 1 GPU each, on nodes with ...``."""
        what = "processes" if self.in_process else "workers"
        there = ", ".join(_node_text(node) for node in self.nodes)
        where = f"on nodes with {there}" if there else "on a cluster without nodes"
        return (
            f"there is room for {min(self.found, self.wanted)} of {self.wanted} {what} of "
            f"{needs_text(self.needs)} each, {where}"
        )

    def check(self, who: str = "") -> None:
        """Raise NoRoomError, in which ``who`` is named, unless all fit."""
        if self.fits:
            return
        key = "workers.threads" if self.in_process else "workers.count"
        raise NoRoomError(
            f"{f'{who}: ' if who else ''}{self.sentence}: lower {key}, workers.cpus or workers.gpus"
        )


def process_needs(workers: ComputeConfig) -> Bundle:
    """What each process of a run reserves: a worker, or the run itself where it has none.

    A run that computes in its own process needs a CPU for each of its threads.
    """
    cpus = workers.cpus if workers.count else max(workers.cpus, float(workers.threads))
    return {kind: need for kind, need in (("CPU", cpus), ("GPU", workers.gpus)) if need}


def room_for(workers: ComputeConfig, nodes: Iterable[Resources], wanted: int | None = None) -> Room:
    """The room that ``nodes``, if they do nothing else, have for the processes of one run.

    Args:
        workers: of the run.
        nodes: resources of each node.
        wanted: processes that must fit; default all.
    """
    there, needs, count = list(nodes), process_needs(workers), max(1, workers.count)
    return Room(
        in_process=workers.count == 0,
        wanted=count if wanted is None else wanted,
        found=sum(_places(needs, node) for node in there) if needs else count,
        needs=needs,
        nodes=there,
    )


def workers_notes(workers: ComputeConfig, nodes: Iterable[Resources]) -> Iterator[str]:
    """What should be known of a run on ``nodes``, in sentences.

    Raises:
        NoRoomError: there is no room for the workers with which it can start.
    """
    if workers.count == 0:
        yield (
            "workers.count = 0: the job computes in its own process on the head node, where "
            "nothing is reserved for it"
        )
        return
    nodes = list(nodes)
    room_for(workers, nodes, workers.fewest).check()
    room = room_for(workers, nodes)
    if not room.fits:
        yield f"{room.sentence}: the others join when there is more"


def trial_bundles(workers: ComputeConfig) -> list[Bundle]:
    """The placement group of a trial: an empty bundle for its loop, then one for each worker.

    A trial without workers computes in its own process.
    """
    each = process_needs(workers)
    return [{}, *(dict(each) for _ in range(workers.count))] if workers.count else [each]


def trials_at_once(workers: ComputeConfig, nodes: Iterable[Resources]) -> int:
    """How many trials fit on ``nodes`` together.

    Raises:
        NoRoomError: not even one.
    """
    room = room_for(workers, nodes)
    if not room.needs:  # workers that reserve nothing: as many trials as there are CPUs
        return max(1, int(sum(node.get("CPU", 0) for node in room.nodes)))
    room.check("a trial never fits on this cluster")
    return room.found // room.wanted


def run_bundles(workers: ComputeConfig) -> list[Bundle]:
    """The placement group of a run of a comparison: all its processes or none.

    So that runs cannot wait for each other. The process that leads workers takes nothing.
    """
    each = process_needs(workers)
    each["CPU"] = max(each.get("CPU", 0.0), _LEAST_CPU)
    return [dict(each) for _ in range(max(1, workers.count))]


def cluster_nodes() -> list[Resources]:
    """The resources of each living node of the connected cluster."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def needs_text(needs: Resources) -> str:
    """``1 CPU and 0.5 GPU``."""
    return " and ".join(f"{need:g} {kind}" for kind, need in needs.items()) or "nothing"


def _places(needs: Resources, node: Resources) -> int:
    return floor(min(node.get(kind, 0) / need for kind, need in needs.items()) + _EPSILON)


def _node_text(node: Resources) -> str:
    return f"{node.get('CPU', 0):g} CPU and {node.get('GPU', 0):g} GPU"
