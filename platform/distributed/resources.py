"""What a trial reserves, and how many trials a cluster holds at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import floor

from metaray.algorithms.errors import InputError
from metaray.platform.config.schema import ComputeConfig

Resources = Mapping[str, float]

_EPSILON = 1e-9  # 0.3 / 0.1 is less than 3


def bundles(workers: ComputeConfig) -> list[dict[str, float]]:
    """The placement group of a trial: an empty bundle for its loop, then one for each worker.

    A trial without workers computes in its own process, on one CPU.
    """
    if workers.count == 0:
        return [{"CPU": 1.0}]
    each = {"CPU": workers.cpus} | ({"GPU": workers.gpus} if workers.gpus else {})
    return [{}, *({k: v for k, v in each.items() if v} for _ in range(workers.count))]


def trials_at_once(workers: ComputeConfig, nodes: Iterable[Resources]) -> int:
    """How many trials fit on ``nodes`` together.

    Raises:
        InputError: not even one; the sentence says what would fit.
    """
    nodes = list(nodes)
    needed = bundles(workers)[-1]
    count = max(1, workers.count)
    if not needed:  # workers that reserve nothing: as many trials as there are CPUs
        return max(1, int(sum(node.get("CPU", 0) for node in nodes)))
    slots = room_for(workers, nodes)
    if slots < count:
        each = " and ".join(f"{amount:g} {kind}" for kind, amount in needed.items())
        there = ", ".join(_text(node) for node in nodes) or "nothing"
        fits = f"workers.count={slots}" if slots else "fewer workers.cpus or workers.gpus"
        raise InputError(
            f"a trial needs {count} worker{'s' if count > 1 else ''} of {each}, which never fits "
            f"on this cluster ({there}): set {fits}"
        )
    return slots // count


def room_for(workers: ComputeConfig, nodes: Iterable[Resources]) -> int:
    """How many workers fit on ``nodes``; as many as are wanted if they reserve nothing."""
    needed = bundles(workers)[-1]
    return sum(_slots(needed, node) for node in nodes) if needed else workers.count


def _slots(needed: Resources, node: Resources) -> int:
    fits = min(node.get(kind, 0) / amount for kind, amount in needed.items())
    return floor(fits + _EPSILON)


def _text(node: Resources) -> str:
    return f"a node with {node.get('CPU', 0):g} CPU and {node.get('GPU', 0):g} GPU"
