"""What is wrong with a command is said here, before anything is sent to a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from glob import has_magic, iglob
from pathlib import Path
from typing import Any

from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.monitored import check_callbacks
from metaray.platform.compare.placement import check_fits
from metaray.platform.compare.request import CompareRequest
from metaray.platform.config.kinds import INPUTS
from metaray.platform.config.loading import Tree, get, merged, read_toml, with_overrides
from metaray.platform.config.request import Request
from metaray.platform.config.schema import ComputeConfig
from metaray.platform.distributed.resources import NoRoomError, room_for, trials_at_once
from metaray.platform.experiment.request import RunRequest
from metaray.platform.sweep.request import SweepRequest

Nodes = Sequence[Mapping[str, float]]


def check_paths(request: Request, is_here: bool) -> list[str]:
    """Whether the cluster can see what the settings name; notes about what cannot be known here.

    Raises:
        InputError: this machine is the cluster and has no such file; or it is another machine,
            where a relative path means nothing.
    """
    notes = []
    for key, value in _paths(request):
        if is_here:
            if not _exists(value):
                raise InputError(f"{key} = {value!r} is not there: give the path of what is")
        elif not value.startswith(("/", "~")):
            raise InputError(
                f"{key} = {value!r} is a relative path, which the cluster cannot follow: data is "
                "not sent with a job, so copy it there and give its absolute path there"
            )
        else:
            notes.append(f"{key} = {value} must be on the cluster: data is not sent with a job")
    return notes


def check_settings(request: Request, is_here: bool, nodes: Nodes, grows: bool) -> list[str]:
    """Whether the settings are valid and ``nodes`` have room for them; what should be known of it.

    Args:
        request: what is to be submitted.
        is_here: whether this machine is the cluster.
        nodes: resources of the cluster's nodes.
        grows: whether more nodes may be added when they are needed.

    Raises:
        InputError: they are not, or there never will be room.
    """
    if request.given_as("earlier run"):
        with_overrides({}, request.given.get("overrides") or [])
        return []  # the settings are those of a run on the cluster
    if not is_here and any(key == "init.checkpoint" for key, _ in _paths(request)):
        return ["settings are checked on the cluster, where the run of init.checkpoint is"]
    try:
        return list(_checked(request, nodes))
    except NoRoomError as error:
        if not grows:
            raise InputError(str(error)) from None
        return [f"{error}; unless nodes are added, which this cluster can do"]


def _checked(request: Request, nodes: Nodes) -> Iterator[str]:
    """What should be known of a new run; InputError if it cannot be."""
    match request:
        case RunRequest():
            config = request.settings()
            check_callbacks(config.monitoring)
            yield from _check_workers(config.workers, nodes)
        case SweepRequest():
            base = request.planned()[0].base
            check_callbacks(base.monitoring)
            trials_at_once(base.workers, nodes)
        case CompareRequest():
            plan = request.planned()
            for entry in plan.entries:
                check_callbacks(entry.config_of(0).monitoring)
            check_fits(plan, nodes)
            yield from plan.notes


def _check_workers(workers: ComputeConfig, nodes: Nodes) -> Iterator[str]:
    if workers.count == 0:
        yield (
            "workers.count = 0: the job computes in its own process on the head node, where "
            "nothing is reserved for it"
        )
        return
    room_for(workers, nodes, workers.fewest).check()
    room = room_for(workers, nodes)
    if not room.fits:
        yield f"{room.sentence}: the others join when there is more"


def _paths(request: Request) -> Iterator[tuple[str, str]]:
    """Paths among the settings, as they were written."""
    trees: list[Tree] = [read_toml(config) for config in request.files("config")] or [{}]
    overrides = with_overrides({}, request.given.get("overrides") or [])
    found: dict[tuple[str, str], None] = {}
    for tree in trees:
        merged_tree = merged(tree, overrides)
        for key in INPUTS:
            value: Any = get(merged_tree, key, None)
            fetched = key == "data.root" and get(merged_tree, "data.download", False)
            if isinstance(value, str) and value != "download" and not fetched:
                found[key, value] = None
    yield from found


def _exists(value: str) -> bool:
    path = Path(value).expanduser()
    return path.exists() or (has_magic(value) and any(iglob(str(path))))
