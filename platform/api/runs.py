"""New runs, resumed runs and tests, at a place that is a folder or a URI.

The command line, ``Trainer``, ``Run`` and ``transfer`` call these functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from metaray.algorithms.paths import user_path
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.experiment.registry import experiment_in, experiment_of
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.storage.remote_directory import RemoteDirectory, is_uri
from metaray.platform.run.storage.working_copy import existing_run, new_run

if TYPE_CHECKING:
    from metaray.platform.inference.learner import Learner

Summary = dict[str, Any]


def new(config: ExperimentConfig, place: str, address: str, callbacks: CallbackList) -> Summary:
    """Train and test a new run; the summary."""
    from metaray.platform.experiment import runner

    with new_run(place, callbacks.notify) as kept:
        return runner.new(config, kept.folder, address, callbacks)


def resume(place: str, overrides: Sequence[str], address: str, callbacks: CallbackList) -> Summary:
    """Continue the run at ``place`` from its last checkpoint; the summary."""
    from metaray.platform.experiment import runner

    with existing_run(place, callbacks.notify) as kept:
        return runner.resume(kept.folder, overrides, address, callbacks)


def evaluate(
    place: str, overrides: Sequence[str], address: str, callbacks: CallbackList
) -> Summary:
    """Test the run at ``place`` again; the summary."""
    from metaray.platform.experiment import runner

    with existing_run(place, callbacks.notify) as kept:
        return runner.evaluate(kept.folder, overrides, address, callbacks)


def learner_of(place: str) -> Learner:
    """The trained model of the run at ``place``."""
    if not is_uri(place):
        run = RunDirectory.open(user_path(place))
        return experiment_in(run).learner(run)
    with TemporaryDirectory(prefix="metaray-") as folder:
        _copy(place, Path(folder))
        run = RunDirectory.open(Path(folder))
        return experiment_in(run).learner(run)


def config_of(run: RunDirectory) -> ExperimentConfig:
    """The settings of any kind of run; InputError where metaray did not write them."""
    config: ExperimentConfig = experiment_in(run).read(run.config)
    return config


def name_of(config: ExperimentConfig) -> str:
    """What is trained on what, for the name of a folder."""
    return experiment_of(config).run_name(config)


def title_of(config: ExperimentConfig) -> str:
    """What is trained, on what."""
    return experiment_of(config).title(config)


def download(place: str) -> TemporaryDirectory[str] | None:
    """A copy of the files of a run at a URI, without checkpoints; None for a folder."""
    if not is_uri(place):
        return None
    folder = TemporaryDirectory(prefix="metaray-")
    _copy(place, Path(folder.name), without="checkpoints/")
    return folder


def _copy(place: str, folder: Path, without: str | None = None) -> None:
    """The files of a run at a URI, but those whose path begins with ``without``."""
    remote = RemoteDirectory.open(place)
    for name in remote.files():
        if without is None or not name.startswith(without):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            remote.read_to(name, target)
