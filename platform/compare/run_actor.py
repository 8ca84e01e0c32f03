"""The Ray side of a run: the process that leads it, in its own placement group."""

from __future__ import annotations

import traceback
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from metaray.algorithms.atomic import write_text
from metaray.algorithms.errors import DiskError, InputError
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.common.errors import Stopped, TrainingError, first_line
from metaray.platform.compare.directory import RunFolder
from metaray.platform.compare.one_run import perform
from metaray.platform.compare.status import ProgressCallback, RunProgress
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.distributed.resources import process_needs, run_bundles
from metaray.platform.experiment.comparison import Curves


class RunActor:
    """Leads one run. It has two threads: one computes, the other answers."""

    def __init__(self) -> None:
        self._progress = ProgressCallback()
        self._callbacks = CallbackList([self._progress])

    def perform(self, config: ExperimentConfig, folder: RunFolder, curves: Curves) -> RunProgress:
        """As ``one_run.perform``; how it ended."""
        try:
            perform(config, folder, curves, "current", self._callbacks)
        except Stopped:
            return RunProgress(state="stopped")
        except (InputError, TrainingError, DiskError) as error:
            return _failed(folder, str(error), str(error))
        except Exception as error:  # the edge of a run: the others continue
            reason = f"{type(error).__name__}: {error}"
            return _failed(folder, reason, traceback.format_exc())
        return RunProgress(state="done")

    def status(self) -> RunProgress:
        """Where the run stands."""
        return self._progress.progress

    def stop(self) -> None:
        """End the run after its current step."""
        self._callbacks.stop.request("the comparison stops")


class RunJob:
    """A run on its way through the cluster, seen from the process that started it."""

    def __init__(self, config: ExperimentConfig, folder: RunFolder, curves: Curves) -> None:
        """Ask for the resources; the run starts once they are there."""
        self.folder = folder
        self.status = RunProgress()
        self._config = config
        self._curves = curves
        self._group = placement_group(run_bundles(config.workers))
        self._actor: Any = None
        self._outcome: Any = None
        self._asked: Any = None

    @property
    def is_placed(self) -> bool:
        """Whether the run has its resources."""
        return self._actor is not None

    @property
    def is_over(self) -> bool:
        """Whether the run has ended, in whichever way."""
        return self.status.state in ("done", "failed", "stopped")

    def poll(self) -> None:
        """Bring ``status`` up to date; starts the run when its resources are there."""
        if self._actor is None:
            if self._group.wait(timeout_seconds=0):
                self._start()
            return
        finished, _ = ray.wait([self._outcome], timeout=0)
        try:
            if finished:
                self.status = ray.get(self._outcome)
                return
            answered, _ = ray.wait([self._asked], timeout=0)
            if answered:
                self.status = ray.get(self._asked)
                self._asked = self._actor.status.remote()
        except RayError as error:
            reason = f"its process died ({first_line(error)}): look for lack of memory"
            self.status = _failed(self.folder, reason, reason)

    def stop(self) -> None:
        """Ask the run to end after its current step; one that has not started never will."""
        if self._actor is None:
            self.status = RunProgress(state="stopped")
        else:
            self._actor.stop.remote()

    def close(self) -> None:
        """Free the resources, and end what still runs in them."""
        if self._actor is not None:
            ray.kill(self._actor)
        remove_placement_group(self._group)

    def _start(self) -> None:
        workers = self._config.workers
        leads, needs = workers.count > 0, process_needs(workers)
        strategy = PlacementGroupSchedulingStrategy(
            self._group, placement_group_capture_child_tasks=True
        )
        options = ray.remote(RunActor).options(
            num_cpus=0 if leads else needs.get("CPU", 0),
            num_gpus=0 if leads else needs.get("GPU", 0),
            scheduling_strategy=strategy,
            max_restarts=0,
            max_concurrency=2,
        )
        self._actor = options.remote()
        self._outcome = self._actor.perform.remote(self._config, self.folder, self._curves)
        self._asked = self._actor.status.remote()
        self.status = RunProgress(state="starting")


def _failed(folder: RunFolder, reason: str, details: str) -> RunProgress:
    folder.path.mkdir(parents=True, exist_ok=True)
    write_text(folder.failure, details + "\n")
    return RunProgress(state="failed", reason=reason)
