"""New runs, resumed runs and tests, at a place that is a folder or a URI.

The command line, ``Trainer``, ``Run`` and ``transfer`` call these functions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.config.loading import read_config
from metaray.platform.config.schema import RunConfig
from metaray.platform.experiment.registry import SweptConfig, kind_of
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.storage.remote_directory import RemoteDirectory, is_uri
from metaray.platform.run.storage.working_copy import existing_run, new_run

Summary = dict[str, Any]


def new(config: SweptConfig, place: str, address: str, callbacks: CallbackList) -> Summary:
    """Train and test a new run; the summary."""
    with new_run(place, callbacks.notify) as kept:
        if isinstance(config, RunConfig):
            from metaray.platform.experiment import meta

            return meta.train(config, kept.folder, address, callbacks)
        from metaray.platform.experiment import transfer

        return transfer.train(config, kept.folder, address, callbacks)


def resume(place: str, overrides: Sequence[str], address: str, callbacks: CallbackList) -> Summary:
    """Continue the run at ``place`` from its last checkpoint; the summary."""
    from metaray.platform.experiment import meta, transfer

    with existing_run(place, callbacks.notify) as kept:
        is_meta = isinstance(config_of(RunDirectory.open(kept.folder)), RunConfig)
        again = meta.resume if is_meta else transfer.resume
        return again(kept.folder, list(overrides), address, callbacks)


def evaluate(
    place: str, overrides: Sequence[str], address: str, callbacks: CallbackList
) -> Summary:
    """Test the run at ``place`` again; the summary."""
    from metaray.platform.experiment import meta

    with existing_run(place, callbacks.notify) as kept:
        return meta.evaluate_run(kept.folder, list(overrides), address, callbacks)


def config_of(run: RunDirectory) -> SweptConfig:
    """The settings of any kind of run; InputError where metaray did not write them."""
    kind = kind_of(json.loads(run.config.read_text(encoding="utf-8")))
    config: SweptConfig = read_config(kind.config_class, run.config)
    return config


def title_of(config: SweptConfig) -> str:
    """What is trained, on what."""
    return kind_of(config.model_dump()).title(config)


def download(place: str) -> TemporaryDirectory[str] | None:
    """A copy of the files of a run at a URI, without checkpoints; None for a folder."""
    if not is_uri(place):
        return None
    remote, folder = RemoteDirectory.open(place), TemporaryDirectory(prefix="metaray-")
    for name in remote.files():
        if not name.startswith("checkpoints/"):
            target = Path(folder.name) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            remote.read_to(name, target)
    return folder
