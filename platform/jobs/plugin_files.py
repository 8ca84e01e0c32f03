"""The plug-in files that a job needs: they travel with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from metaray.algorithms import plugins
from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import user_path
from metaray.platform.config.loading import OPEN_KEYS, read_toml, with_overrides
from metaray.platform.config.request import Request
from metaray.platform.config.tree import Tree, get, merged
from metaray.platform.experiment.registry import experiment_in
from metaray.platform.run.directory import RunDirectory


def plugin_files(request: Request, is_here: bool) -> list[Path]:
    """The files that the settings of ``request`` name, and what these import from beside them.

    A resumed run has its settings on the cluster. If that is another machine, they cannot be
    read here: then all files in the folders of $METARAY_PLUGINS go along.

    Args:
        request: what is to be submitted.
        is_here: whether this machine is the cluster.

    Raises:
        InputError: a file is missing or cannot be imported, or two have one name.
    """
    for name in _names(request, is_here):
        if plugins.is_outside(name):
            plugins.load(name)
    files = [*plugins.files(), *(_of_folders() if request.given_as("earlier run") else [])]
    by_name: dict[str, Path] = {}
    for file in dict.fromkeys(file.resolve() for file in files):
        if file.name in by_name:
            raise InputError(
                f"{by_name[file.name]} and {file} have the same name, and a job has one folder for "
                "both: rename one"
            )
        by_name[file.name] = file
    return list(by_name.values())


def settings_trees(request: Request) -> list[Tree]:
    """The settings that the request gives, a tree for each file of them."""
    trees: list[Tree] = [read_toml(file) for file in request.files("config")] or [{}]
    overrides = with_overrides({}, request.given.get("overrides") or [])
    return [merged(tree, overrides) for tree in trees]


def _names(request: Request, is_here: bool) -> Iterator[str]:
    """All values among the settings that may name code of the user's own."""
    trees = settings_trees(request)
    if is_here:
        trees += [_settings_of(Path(str(place))) for place in _runs(request)]
    for tree in trees:
        for key in OPEN_KEYS:
            yield str(get(tree, key, ""))
        yield from map(str, get(tree, "monitoring.callbacks", None) or [])


def _runs(request: Request) -> list[object]:
    return list(request.given_as("earlier run").values())


def _settings_of(folder: Path) -> Tree:
    """The settings of a run in a folder of this machine; none where there is no such folder."""
    run = RunDirectory(user_path(folder))
    if not run.config.is_file():
        return {}
    config = experiment_in(run).read(run.config)
    return dict(config.model_dump())


def _of_folders() -> Iterator[Path]:
    for folder in filter(None, os.environ.get(plugins.PLUGIN_PATH, "").split(os.pathsep)):
        yield from sorted(Path(folder).glob("*.py"))
