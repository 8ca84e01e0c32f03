"""One run of a comparison, from its last checkpoint to its measures; without Ray."""

from __future__ import annotations

import shutil

from metaray.algorithms.atomic import write_json
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.compare.directory import RunFolder
from metaray.platform.compare.kind import comparison_of
from metaray.platform.compare.memory import peak_memory_bytes
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.experiment import runner
from metaray.platform.experiment.comparison import Curves
from metaray.platform.experiment.registry import experiment_of
from metaray.platform.run.directory import RunDirectory


def perform(
    config: ExperimentConfig,
    folder: RunFolder,
    curves: Curves,
    address: str,
    callbacks: CallbackList,
) -> None:
    """Train and test as the command of its kind does, or continue where that stopped; then measure.

    Args:
        config: of the run.
        folder: its folder, which may not exist yet.
        curves: the shapes at which it is tested again.
        address: as of ``runner.new``; only runs with Ray workers use it.
        callbacks: follow the run.

    Raises:
        InputError, TrainingError: the run cannot continue.
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
    peak = peak_memory_bytes() if knows_memory else None
    comparison = comparison_of({folder.entry: experiment_of(config)})
    found = comparison.measure(runner.load(folder.path, callbacks), curves, callbacks)
    write_json(folder.measures, {"peak_memory_bytes": peak, **found})
