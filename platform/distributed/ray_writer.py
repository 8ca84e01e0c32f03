"""The run directory, reached from the workers of Ray Train: an actor on the driver's node."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from metaray.platform.run.checkpoint import Checkpoint, CheckpointStore
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.status import WorkerState
from metaray.platform.training.writer import Columns, LocalRunWriter, Row

_REMEMBERED = 40  # workers


class RunUpdate(NamedTuple):
    """What happened since the driver asked last."""

    rows: list[Row]
    messages: list[str]
    failure: Exception | None
    """why the job cannot go on"""
    workers: list[WorkerState]
    """all that there were, as they are now"""
    stopped: bool | None
    """of a job that has ended: whether it was asked to"""


class KeeperActor(LocalRunWriter):
    """A RunKeeper in a process of its own, which outlives workers."""

    def __init__(self, path: Path, shapes: str, keep: int) -> None:
        run = RunDirectory(path)
        store = CheckpointStore(run.checkpoints, shapes, keep)
        super().__init__(run, store, self._take, lambda: self._stop)
        self._rows: list[Row] = []
        self._messages: list[str] = []
        self._failure: Exception | None = None
        self._stop = False
        self._stopped: bool | None = None
        self._starts = 0
        self._workers: list[WorkerState] = []

    def join(self, worker: WorkerState) -> None:
        """A worker has started; if another had its number, all have started again."""
        self._workers = [
            replace(before, state="replaced") if before.number == worker.number else before
            for before in self._workers[-_REMEMBERED:]
        ]
        self._workers.append(worker)

    def record(self, row: Row) -> bool:
        """As RunKeeper; how often workers were lost is known here alone."""
        return super().record(row | {"workers_lost": max(0, self._starts - 1)})

    def begin(self, step: int) -> None:
        """As RunKeeper; from the second time on, workers were lost."""
        super().begin(step)
        self._starts += 1
        if self._starts > 1:
            self._messages.append(f"workers start again from step {step}")

    def news(self) -> RunUpdate:
        """Since the last call."""
        news = RunUpdate(self._rows, self._messages, self._failure, self._workers, self._stopped)
        self._rows, self._messages = [], []
        return news

    def stop(self) -> None:
        """Training shall stop after the step that comes."""
        self._stop = True

    def end(self, stopped: bool) -> None:
        """The job is done, or has stopped since it was asked to: its results are kept."""
        self._stopped = stopped

    def fail(self, error: Exception) -> None:
        """The job cannot go on: starting workers again would do no better."""
        self._failure = self._failure or error

    def failed(self) -> bool:
        """Whether it cannot."""
        return self._failure is not None

    def _take(self, row: Row) -> None:
        self._rows.append(row)


class RemoteKeeper:
    """A Keeper that asks the actor. Its answer to ``record`` is one step old."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._recorded: Any = None

    def latest(self) -> Checkpoint:
        """See RunWriter."""
        checkpoint: Checkpoint = ray.get(self._handle.latest.remote())
        return checkpoint

    def load(self, step: int) -> Checkpoint:
        """See RunWriter."""
        checkpoint: Checkpoint = ray.get(self._handle.load.remote(step))
        return checkpoint

    def begin(self, step: int) -> None:
        """See RunWriter."""
        ray.get(self._handle.begin.remote(step))

    def record(self, row: Row) -> bool:
        """See Keeper; the log is written while the next step is computed."""
        stop = self._recorded is not None and bool(ray.get(self._recorded))
        self._recorded = self._handle.record.remote(row)
        return stop

    def save(self, checkpoint: Checkpoint) -> None:
        """See RunWriter."""
        ray.get(self._handle.save.remote(checkpoint))

    def result(self, name: str, figures: dict[str, Any], columns: Columns) -> None:
        """See RunWriter."""
        ray.get(self._handle.result.remote(name, figures, columns))


def start_writer(run: RunDirectory, shapes: str, keep: int) -> Any:
    """A handle of the actor. It takes no CPU: it works while workers compute."""
    place = on_this_node()
    actor = ray.remote(KeeperActor).options(num_cpus=0, max_restarts=0, scheduling_strategy=place)
    return actor.remote(run.path, shapes, keep)


def on_this_node() -> NodeAffinitySchedulingStrategy:
    """Where the driver is."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
