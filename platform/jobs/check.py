"""What is wrong with a command is said here, before anything is sent to a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from glob import has_magic, iglob
from typing import Any

from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import user_path
from metaray.platform.config.kinds import INPUTS
from metaray.platform.config.loading import with_overrides
from metaray.platform.config.request import Nodes, Request
from metaray.platform.config.tree import get
from metaray.platform.distributed.resources import NoRoomError
from metaray.platform.jobs.plugin_files import settings_trees


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
        return list(request.check(nodes))
    except NoRoomError as error:
        if not grows:
            raise InputError(str(error)) from None
        return [f"{error}; unless nodes are added, which this cluster can do"]


def _paths(request: Request) -> Iterator[tuple[str, str]]:
    """Paths among the settings, as they were written."""
    found: dict[tuple[str, str], None] = {}
    for tree in settings_trees(request):
        for key in INPUTS:
            value: Any = get(tree, key, None)
            fetched = key == "data.root" and get(tree, "data.download", False)
            if isinstance(value, str) and value != "download" and not fetched:
                found[key, value] = None
    yield from found


def _exists(value: str) -> bool:
    path = user_path(value)
    return path.exists() or (has_magic(value) and any(iglob(str(path))))
