"""A run with all that follows it: the caller's callbacks, and those that its config asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metaray.platform.callbacks.base import BackgroundCallback, RunInfo
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.callbacks.identity import Identity
from metaray.platform.callbacks.live_status import LiveStatus, StatusFile
from metaray.platform.callbacks.loading import callback_class, load_callbacks
from metaray.platform.callbacks.prometheus import Prometheus
from metaray.platform.callbacks.tensorboard import TensorBoard
from metaray.platform.callbacks.trackers import check_installed, tracker
from metaray.platform.config.monitoring import MonitoringConfig
from metaray.platform.config.schema import ExperimentConfig


def check_monitoring(config: MonitoringConfig) -> None:
    """Raise InputError for a tracker that is not installed, or a callback that cannot be made."""
    check_installed(config.trackers)
    check_callbacks(config)


def check_callbacks(config: MonitoringConfig) -> None:
    """Import the callbacks, so that their files travel with a job; InputError if one is wrong."""
    for name in config.callbacks:
        callback_class(name)


@contextmanager
def monitored(
    folder: Path,
    config: ExperimentConfig,
    callbacks: CallbackList,
    *,
    total_steps: int,
    start_step: int = 0,
    time_left_s: float | None = None,
) -> Iterator[CallbackList]:
    """The run in ``folder``, from its start to its end; yields all callbacks that follow it.

    Args:
        folder: the run directory.
        config: of the run; has a section ``monitoring``.
        callbacks: of the caller.
        total_steps: planned steps of the run.
        start_step: steps that are done.
        time_left_s: seconds that a time budget leaves for training.

    Raises:
        InputError: as ``check_monitoring``.
    """
    check_monitoring(config.monitoring)
    info = RunInfo(
        folder=folder,
        identity=Identity.of(folder, config.kind),
        config=config.model_dump(),
        total_steps=total_steps,
        start_step=start_step,
        time_left_s=time_left_s,
        stop=callbacks.stop,
    )
    recorders = [TensorBoard(), *map(tracker, config.monitoring.trackers)]
    with published(info, LiveStatus(info), config.monitoring, callbacks, recorders) as everyone:
        yield everyone


@contextmanager
def published(
    info: RunInfo,
    status: LiveStatus,
    config: MonitoringConfig,
    callbacks: CallbackList,
    recorders: list[BackgroundCallback],
) -> Iterator[CallbackList]:
    """Publish ``status`` while the run of ``info`` is followed by all others.

    The status comes first, so that it gets what the others report, and its file last,
    so that it holds everything.
    """
    export = [Prometheus(info.identity, status)] if config.export else []
    others = [*load_callbacks(config.callbacks), *recorders, *export]
    everyone = callbacks.around([status], [*others, StatusFile(info.folder, status)])
    with everyone.running(info):
        yield everyone
