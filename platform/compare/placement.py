"""What a run takes of a cluster, and whether the cluster has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metaray.algorithms.errors import InputError
from metaray.platform.compare.plan import Plan
from metaray.platform.config.schema import RunConfig

Bundle = dict[str, float]
_LEAST_CPU = 0.01  # Ray reserves nothing for an empty bundle


def bundles(config: RunConfig) -> list[Bundle]:
    """What the processes of a run reserve together, all or nothing, so that runs cannot deadlock.

    A run without Ray workers is one process; of one with workers, the process that leads it only
    waits and takes nothing.
    """
    workers = config.workers
    each = workers.cpus if workers.count else float(workers.threads)
    bundle = {"CPU": max(each, _LEAST_CPU)} | ({"GPU": workers.gpus} if workers.gpus else {})
    return [dict(bundle) for _ in range(max(1, workers.count))]


def check_fits(plan: Plan, nodes: Sequence[Mapping[str, float]]) -> None:
    """Whether each run could ever start on ``nodes``, the resources of each alive node.

    Raises:
        InputError: one could not; what it needs and what there is are named.
    """
    for entry in plan.entries:
        wanted = bundles(entry.config)
        places = sum(_places(wanted[0], node) for node in nodes)
        if places < len(wanted):
            processes = "a process" if len(wanted) == 1 else f"{len(wanted)} workers"
            raise InputError(
                f"{entry.name} needs {processes} with {_text(wanted[0])} each, and the cluster "
                f"has room for {places} of them ({', '.join(map(_text, nodes)) or 'no node'}): "
                "lower workers.count, workers.cpus, workers.gpus or workers.threads"
            )


def _places(bundle: Bundle, node: Mapping[str, float]) -> int:
    """How many bundles a node that does nothing else can hold."""
    return min(int(node.get(name, 0.0) / amount + 1e-9) for name, amount in bundle.items())


def _text(resources: Mapping[str, float]) -> str:
    return " and ".join(f"{resources.get(k, 0):g} {k}" for k in ("CPU", "GPU") if k in resources)
