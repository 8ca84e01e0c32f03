"""One run of a comparison, from its last checkpoint to its measures; without Ray."""

from __future__ import annotations

import shutil

from metaray.algorithms.atomic import write_json
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.compare import measure
from metaray.platform.compare.directory import RunFolder
from metaray.platform.compare.plan import Curves
from metaray.platform.config.schema import RunConfig
from metaray.platform.experiment import runner
from metaray.platform.experiment.adaptation import adaptation_time
from metaray.platform.experiment.meta_session import MetaSession
from metaray.platform.run.directory import RunDirectory


def perform(
    config: RunConfig, folder: RunFolder, curves: Curves, address: str, callbacks: CallbackList
) -> None:
    """Train and test as ``metaray train`` does, or go on where that was broken off; then measure.

    Args:
        config: of the run.
        folder: its folder, which may not exist yet.
        curves: the shapes at which it is tested again.
        address: as of ``metaray train``; only runs with Ray workers use it.
        callbacks: follow the run.

    Raises:
        InputError, TrainingError: the run cannot go on.
        Stopped: ``callbacks.stop`` was requested.
    """
    run = RunDirectory(folder.path)
    pool_address = address if config.workers.count else "local"
    trains = not run.summary.exists()
    if not run.config.exists():
        shutil.rmtree(folder.path, ignore_errors=True)  # killed before it had begun
        runner.new(config, folder.path, pool_address, callbacks)
    elif trains:
        runner.resume(folder.path, [], pool_address, callbacks)
    # Another process's memory is not known here: neither that of workers, nor of a training before
    knows_memory = trains and config.workers.count == 0
    peak = measure.peak_memory_bytes() if knows_memory else None
    tested = runner.load(folder.path, callbacks)
    assert isinstance(tested, MetaSession)  # as its config is
    state = tested.tested_state()
    with callbacks.evaluating(len(curves.shapes(config)) * curves.episodes) as done:
        measures = {
            "peak_memory_bytes": peak,
            "adaptation_s": adaptation_time(tested, state, "test"),
            "episodes_sha256": measure.episodes_sha256(tested),
            "curve": measure.curve(tested, state, curves, done),
        }
    write_json(folder.measures, measures)
