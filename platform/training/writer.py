"""The only writer of a run directory while a run trains: log, checkpoints, results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from typing_extensions import override

from metaray.algorithms.atomic import atomic_path, write_json
from metaray.platform.callbacks.callback_list import CallbackList
from metaray.platform.common.arrow import to_column
from metaray.platform.run.checkpoint import Checkpoint, CheckpointStore
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsLog, MetricsRow

Columns = Mapping[str, NDArray[Any]]


class RunWriter(ABC):
    """What training needs of the run directory, here or on another machine."""

    @abstractmethod
    def latest(self) -> Checkpoint | None:
        """The newest checkpoint, or None before the first one."""

    @abstractmethod
    def load(self, step: int) -> Checkpoint:
        """The checkpoint of ``step``."""

    @abstractmethod
    def begin(self, step: int) -> None:
        """Training continues from ``step``: drop the rows of steps that come again."""

    @abstractmethod
    def record(self, row: MetricsRow) -> None:
        """Log a step."""

    @abstractmethod
    def message(self, text: str) -> None:
        """Show an event to the user."""

    @abstractmethod
    def stop_requested(self) -> bool:
        """Whether training should stop; asked between steps."""

    @abstractmethod
    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint; all rows before it are durable then."""

    @abstractmethod
    def result(self, name: str, metrics: dict[str, Any], columns: Columns) -> None:
        """Keep a result, and with it a row for each image."""


class LocalRunWriter(RunWriter):
    """The run directory itself."""

    def __init__(self, run: RunDirectory, store: CheckpointStore, callbacks: CallbackList) -> None:
        self._run = run
        self._store = store
        self._callbacks = callbacks
        self._log = MetricsLog(run.metrics)

    @override
    def latest(self) -> Checkpoint | None:
        return self._store.latest()

    @override
    def load(self, step: int) -> Checkpoint:
        return self._store.load(step)

    @override
    def begin(self, step: int) -> None:
        self._log.truncate_after(step)
        if missing := self._log.missing(step):
            steps = f"{missing[0]}" if len(missing) == 1 else f"{missing[0]} to {missing[-1]}"
            self.message(
                f"{self._run.metrics} has no row for {len(missing)} of the steps that are done "
                f"({steps}): training continues, but curves and averages leave these steps out"
            )

    @override
    def record(self, row: MetricsRow) -> None:
        self._log.append(row)
        self._callbacks.on_step(row)

    @override
    def message(self, text: str) -> None:
        self._callbacks.notify(text)

    @override
    def stop_requested(self) -> bool:
        return self._callbacks.stop.requested()

    @override
    def save(self, checkpoint: Checkpoint) -> None:
        self._log.sync()
        self._store.save(checkpoint)

    @override
    def result(self, name: str, metrics: dict[str, Any], columns: Columns) -> None:
        folder = self._run.evaluations
        if columns:
            with atomic_path(folder / f"{name}.parquet") as temporary:
                table = {key: to_column(np.asarray(column)) for key, column in columns.items()}
                pq.write_table(pa.table(table), temporary)
        write_json(folder / f"{name}.json", metrics)

    def close(self) -> None:
        """Make the log durable."""
        self._log.close()


class ReadOnlyRunWriter(RunWriter):
    """Of the ranks other than 0: reads what rank 0 writes, and writes nothing."""

    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer

    @override
    def latest(self) -> Checkpoint | None:
        return self._writer.latest()

    @override
    def load(self, step: int) -> Checkpoint:
        return self._writer.load(step)

    @override
    def begin(self, step: int) -> None:
        pass

    @override
    def record(self, row: MetricsRow) -> None:
        pass

    @override
    def message(self, text: str) -> None:
        pass

    @override
    def stop_requested(self) -> bool:
        return False

    @override
    def save(self, checkpoint: Checkpoint) -> None:
        pass

    @override
    def result(self, name: str, metrics: dict[str, Any], columns: Columns) -> None:
        pass
