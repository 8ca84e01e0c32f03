"""The run directory, reached from the workers of Ray Train: an actor on the driver's node."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from typing_extensions import override

from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.run.checkpoint import Checkpoint, CheckpointStore
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsRow
from metaray.platform.run.status import WorkerState
from metaray.platform.training.writer import Columns, LocalRunWriter, RunWriter

_REMEMBERED = 40  # workers


class RunUpdate(NamedTuple):
    """What happened since the driver asked last."""

    rows: list[MetricsRow]
    messages: list[str]
    failure: Exception | None
    """why the job cannot continue"""
    workers: list[WorkerState]
    """all that there were, as they are now"""
    stopped: bool | None
    """of a job that has ended: whether it was asked to"""


class RunWriterActor(LocalRunWriter):
    """A LocalRunWriter in its own process, which outlives workers."""

    def __init__(self, path: Path, shapes: str, keep: int) -> None:
        self._rows: list[MetricsRow] = []
        self._messages: list[str] = []
        self._failure: Exception | None = None
        self._stop = False
        self._stopped: bool | None = None
        self._starts = 0
        self._workers: list[WorkerState] = []
        self._reserved: dict[Any, Any] = {}
        run = RunDirectory(path)
        store = CheckpointStore(run.checkpoints, shapes, keep, self.message)
        super().__init__(run, store, CallbackList())  # callbacks live in the driver

    def join(self, worker: WorkerState, reserved: Any = None) -> None:
        """Note that a worker has started; if another had its number, all have started again.

        ``reserved`` is the placement group that it is in.
        """
        if reserved is not None:
            self._reserved[reserved.id] = reserved
        self._workers = [
            replace(before, state="replaced") if before.number == worker.number else before
            for before in self._workers[-_REMEMBERED:]
        ]
        self._workers.append(worker)

    def record_step(self, row: MetricsRow) -> bool:
        """Log a step; whether training should stop. How often workers were lost is known here."""
        self.record(row | {"workers_lost": max(0, self._starts - 1)})
        return self.stop_requested()

    @override
    def record(self, row: MetricsRow) -> None:
        super().record(row)
        self._rows.append(dict(row))

    @override
    def message(self, text: str) -> None:
        self._messages.append(text)

    @override
    def stop_requested(self) -> bool:
        return self._stop

    @override
    def begin(self, step: int) -> None:
        super().begin(step)
        self._starts += 1
        if self._starts > 1:  # workers were lost
            self.message(f"workers start again from step {step}")

    def update(self) -> RunUpdate:
        """What happened since the last call."""
        update = RunUpdate(self._rows, self._messages, self._failure, self._workers, self._stopped)
        self._rows, self._messages = [], []
        return update

    def reserved(self) -> list[Any]:
        """The placement groups in which workers were."""
        return [*self._reserved.values()]

    def stop(self) -> None:
        """Request that training stops after the next step."""
        self._stop = True

    def end(self, stopped: bool) -> None:
        """Note that the job is done, or has stopped on request: its results are kept."""
        self._stopped = stopped

    def fail(self, error: Exception) -> None:
        """Note that the job cannot continue: starting workers again would do no better."""
        self._failure = self._failure or error

    def failed(self) -> bool:
        """Whether it cannot."""
        return self._failure is not None


class RemoteRunWriter(RunWriter):
    """Asks the actor. A row is written while the next step is computed.

    So the answer to ``stop_requested`` is one step old.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._recorded: Any = None
        self._stop = False

    @override
    def latest(self) -> Checkpoint | None:
        checkpoint: Checkpoint | None = ray.get(self._handle.latest.remote())
        return checkpoint

    @override
    def load(self, step: int) -> Checkpoint:
        checkpoint: Checkpoint = ray.get(self._handle.load.remote(step))
        return checkpoint

    @override
    def begin(self, step: int) -> None:
        ray.get(self._handle.begin.remote(step))

    @override
    def record(self, row: MetricsRow) -> None:
        if self._recorded is not None:
            self._stop = ray.get(self._recorded)
        self._recorded = self._handle.record_step.remote(row)

    @override
    def message(self, text: str) -> None:
        ray.get(self._handle.message.remote(text))

    @override
    def stop_requested(self) -> bool:
        return self._stop

    @override
    def save(self, checkpoint: Checkpoint) -> None:
        ray.get(self._handle.save.remote(checkpoint))

    @override
    def result(self, name: str, metrics: dict[str, Any], columns: Columns) -> None:
        ray.get(self._handle.result.remote(name, metrics, columns))


def start_writer(run: RunDirectory, shapes: str, keep: int) -> Any:
    """A handle of the actor. It takes no CPU: it works while workers compute."""
    actor = ray.remote(RunWriterActor).options(
        num_cpus=0, max_restarts=0, scheduling_strategy=on_this_node()
    )
    return actor.remote(run.path, shapes, keep)


def on_this_node() -> NodeAffinitySchedulingStrategy:
    """Where the driver is."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
