"""``fit``: a model from a folder of pictures, with settings that its content decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from metaray.algorithms.atomic import write_text
from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import user_path
from metaray.algorithms.tasks.folder_survey import survey
from metaray.platform.api import runs
from metaray.platform.api.parts import Settings
from metaray.platform.api.process import running
from metaray.platform.api.run import Run
from metaray.platform.callbacks.base import Callback
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.common.formatting import duration, plural
from metaray.platform.config.commands import settings_for
from metaray.platform.config.meta import RunConfig
from metaray.platform.config.tree import get
from metaray.platform.config.values import set_value, toml_tables
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.own_pictures import chosen_for, found_in
from metaray.platform.run.directory import RunDirectory, fresh_place

SETTINGS_FILE = "fit.toml"
_LEAST_S = 10.0
_FEW_STEPS = 50


def fit(
    folder: str | Path,
    *,
    time: float = 300.0,
    out: str | Path | None = None,
    settings: Settings | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> Run:
    """Train a model on a folder of pictures that later learns new classes from a few of them.

    The folder decides split, network, method and episodes; ``notify`` lines say what was found and
    why each setting was chosen. The settings stay in the run as ``fit.toml``.

    Args:
        folder: with a folder of pictures for each class, a zip of one, or a CSV file of the columns
            path and label.
        time: about how many seconds it may take, test and report included.
        out: new folder for the run; None: ``runs/`` and a name with the time.
        settings: settings by path that you choose yourself.
        callbacks: subclasses of ``mr.Callback`` that follow the run.
        progress: show progress.

    Returns:
        The run. ``run.adapt`` learns new classes.

    Raises:
        InputError: there are too few classes or pictures, or a setting is wrong.
    """
    given = [f"{key}={set_value(value)}" for key, value in (settings or {}).items()]
    with running(progress, None, callbacks) as (_, listeners):
        config = settings_of(folder, time, given, listeners.notify)
        place = str(out or fresh_place(runs.name_of(config)))
        if sentence := few_steps(train(config, place, listeners), config):
            listeners.notify(sentence)
    return Run(place)


def settings_of(
    folder: str | Path, seconds: float, overrides: Sequence[str], notify: Callable[[str], None]
) -> RunConfig:
    """The settings for a folder; ``notify`` is told what was found, and why they were chosen.

    Raises:
        InputError: as of ``fit``.
    """
    began = monotonic()
    if seconds < _LEAST_S:
        raise InputError(f"a training of {seconds:g} s learns nothing: give {_LEAST_S:g} s or more")
    root = user_path(folder)
    found = survey(root)
    for sentence in found_in(found):
        notify(sentence)
    method = _given_method(overrides)
    tasks = [one for one in overrides if one.startswith("task.")]
    void = META.load(None, [f"method.name={method}", *tasks]).without_effect
    settled = {*(key.partition("=")[0] for key in overrides), *void}
    chosen: dict[str, Any] = {"data.name": "folder", "data.root": str(root.absolute())}
    for one in chosen_for(found, seconds, _device(), method, monotonic() - began):
        own = {key: value for key, value in one.settings.items() if key not in settled}
        chosen |= own
        if own:
            words = ", ".join(f"{key} = {set_value(value)}" for key, value in own.items())
            notify(f"{words}: {one.reason}")
    return META.load(None, [*(f"{k}={set_value(v)}" for k, v in chosen.items()), *overrides])


def train(config: RunConfig, place: str, callbacks: CallbackList) -> dict[str, Any]:
    """Train and test the run, and leave ``fit.toml`` in it; the summary."""
    try:
        return runs.new(config, place, "local", callbacks)
    finally:
        run = RunDirectory(user_path(place))
        if run.config.is_file():
            values = settings_for(config, META.resolve)
            head = f"# metaray train {SETTINGS_FILE} trains with these settings again\n\n"
            write_text(run.path / SETTINGS_FILE, head + toml_tables(values))


def _given_method(overrides: Sequence[str]) -> str:
    """The method that the user has set."""
    tree = META.load(None, [one for one in overrides if one.startswith("method.name=")])
    given = any(one.startswith("method.name=") for one in overrides)
    return str(get(tree.model_dump(), "method.name", "")) if given else "protonet"


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def few_steps(summary: Mapping[str, Any], config: RunConfig) -> str | None:
    """What to do where the time was too short to learn much."""
    steps = int(summary["outer_steps"])
    if steps >= min(_FEW_STEPS, config.train.outer_steps):
        return None
    smaller = max(28, config.data.image_size // 2)
    images = f", or take smaller images (--set data.image_size={smaller})"
    return (
        f"the time was enough for {plural(steps, 'step')}, which are few: give more with --time"
        + (images if smaller < config.data.image_size else "")
    )


def done_sentence(seconds: float, place: str) -> str:
    """What to do next with a model."""
    return (
        f"done in {duration(seconds)}; next: metaray predict --run {place} --support FOLDER "
        "--query FOLDER"
    )
