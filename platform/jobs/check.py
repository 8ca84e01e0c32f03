"""What is wrong with a command is said here, before anything is sent to a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from glob import has_magic, iglob
from pathlib import Path
from typing import Any

from metaray.algorithms.errors import InputError
from metaray.platform.config.loading import (
    Tree,
    get,
    load_config,
    merged,
    read_toml,
    with_overrides,
)
from metaray.platform.config.schema import ComputeConfig
from metaray.platform.distributed.resources import room_for
from metaray.platform.jobs.command import Command

_DATA = ("data.root", "data.split_lists", "target.root", "target.split_lists")
_PATHS = (*_DATA, "init.checkpoint", "job.teacher", "model.weights")
Nodes = Sequence[Mapping[str, float]]


def check_paths(command: Command, is_here: bool) -> list[str]:
    """Whether the cluster can see what the settings name; notes about what cannot be known here.

    Raises:
        InputError: this machine is the cluster and has no such file; or it is another machine,
            where a relative path means nothing.
    """
    notes = []
    for key, value in _paths(command):
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


def check_settings(command: Command, is_here: bool, nodes: Nodes, grows: bool) -> list[str]:
    """Whether the settings are valid and ``nodes`` have room for them; what should be known of it.

    Args:
        command: what is to be submitted.
        is_here: whether this machine is the cluster.
        nodes: resources of the cluster's nodes.
        grows: whether more nodes may be added when they are needed.

    Raises:
        InputError: they are not, or there never will be room.
    """
    if command.values.get("resume") is not None or command.kind == "evaluate":
        with_overrides({}, command.values.get("overrides") or [])
        return []  # the settings are those of a run on the cluster
    if not is_here and any(key == "init.checkpoint" for key, _ in _paths(command)):
        return ["settings are checked on the cluster, where the run of init.checkpoint is"]
    try:
        return list(_CHECKS[command.kind](command, nodes))
    except _NoRoom as error:
        if not grows:
            raise InputError(str(error)) from None
        return [f"{error}; unless nodes are added, which this cluster can do"]


class _NoRoom(InputError):
    """The nodes that are there now cannot hold it."""


def _check_train(command: Command, nodes: Nodes) -> Iterator[str]:
    overrides = command.values.get("overrides") or []
    config = load_config(command.values.get("config"), overrides)
    yield from _check_workers(config.workers, nodes, least=1)


def _check_transfer(command: Command, nodes: Nodes) -> Iterator[str]:
    from metaray.platform.config.transfer_loading import load_transfer_config

    overrides = [f"job.name={command.names[1]}", *(command.values.get("overrides") or [])]
    config = load_transfer_config(command.values.get("config"), overrides)
    workers = config.workers
    least = workers.count if workers.min_count is None else workers.min_count
    yield from _check_workers(workers, nodes, least)


def _check_sweep(command: Command, nodes: Nodes) -> Iterator[str]:
    from metaray.platform.cli.sweep import planned
    from metaray.platform.distributed.resources import trials_at_once

    names = (
        "config", "overrides", "space", "num_trials", "metric", "sampler", "scheduler", "grace",
        "seed", "out", "storage",
    )  # fmt: skip
    plan, _ = planned(*(command.values.get(name) for name in names))
    try:
        trials_at_once(plan.base.workers, nodes)
    except InputError as error:
        raise _NoRoom(str(error)) from None
    yield from ()


def _check_compare(command: Command, nodes: Nodes) -> Iterator[str]:
    from metaray.platform.cli.compare import planned
    from metaray.platform.compare.placement import check_fits

    names = (
        "configs", "methods", "overrides", "steps", "tasks", "time", "seeds", "shots", "ways",
        "curve_episodes", "reference",
    )  # fmt: skip
    plan = planned(*(command.values.get(name) for name in names))
    try:
        check_fits(plan, nodes)
    except InputError as error:
        raise _NoRoom(str(error)) from None
    yield from plan.notes


_CHECKS = {
    "train": _check_train,
    "transfer": _check_transfer,
    "sweep": _check_sweep,
    "compare": _check_compare,
}


def _check_workers(workers: ComputeConfig, nodes: Nodes, least: int) -> Iterator[str]:
    if workers.count == 0:
        yield (
            "workers.count = 0: the job computes in its own process on the head node, where "
            "nothing is reserved for it"
        )
        return
    try:
        room_for(workers, nodes, least).check()
    except InputError as error:
        raise _NoRoom(str(error)) from None
    room = room_for(workers, nodes)
    if not room.fits:
        yield f"{room.sentence}: the others join when there is more"


def _paths(command: Command) -> Iterator[tuple[str, str]]:
    """Paths among the settings, as they were written."""
    given = command.values
    configs = [given["config"]] if given.get("config") else list(given.get("configs") or [])
    trees: list[Tree] = [read_toml(config) for config in configs] or [{}]
    overrides = with_overrides({}, given.get("overrides") or [])
    found: dict[tuple[str, str], None] = {}
    for tree in trees:
        merged_tree = merged(tree, overrides)
        for key in _PATHS:
            value: Any = get(merged_tree, key, None)
            fetched = key == "data.root" and get(merged_tree, "data.download", False)
            if isinstance(value, str) and value != "download" and not fetched:
                found[key, value] = None
    yield from found


def _exists(value: str) -> bool:
    path = Path(value).expanduser()
    return path.exists() or (has_magic(value) and any(iglob(str(path))))
