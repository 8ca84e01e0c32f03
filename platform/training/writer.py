"""The only writer of a run directory while a job trains: log, checkpoints, results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from metaray.algorithms.atomic import atomic_path, write_json
from metaray.platform.run.checkpoint import Checkpoint, CheckpointStore
from metaray.platform.run.directory import RunDirectory
from metaray.platform.run.metrics_log import MetricsLog

Row = dict[str, Any]
Columns = Mapping[str, NDArray[Any]]


class RunWriter(Protocol):
    """What training needs of the run directory, wherever that is."""

    def latest(self) -> Checkpoint:
        """The newest checkpoint; there is one from the start."""

    def load(self, step: int) -> Checkpoint:
        """The checkpoint of ``step``."""

    def begin(self, step: int) -> None:
        """Training goes on from ``step``: drop the rows of steps that come again."""

    def record(self, row: Row) -> bool:
        """Log a step; whether training should stop."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint; all rows before it are durable then."""

    def result(self, name: str, figures: dict[str, Any], columns: Columns) -> None:
        """Keep a result, and with it a row for each picture."""


class LocalRunWriter:
    """The run directory itself."""

    def __init__(
        self,
        run: RunDirectory,
        store: CheckpointStore,
        on_row: Callable[[Row], None],
        stop_requested: Callable[[], bool],
    ) -> None:
        self._run = run
        self._store = store
        self._on_row = on_row
        self._stop_requested = stop_requested
        self._log = MetricsLog(run.metrics)

    def latest(self) -> Checkpoint:
        """See RunWriter."""
        checkpoint = self._store.latest()
        assert checkpoint is not None  # written before training
        return checkpoint

    def load(self, step: int) -> Checkpoint:
        """See RunWriter."""
        return self._store.load(step)

    def begin(self, step: int) -> None:
        """See RunWriter."""
        self._log.truncate_after(step)

    def record(self, row: Row) -> bool:
        """See RunWriter."""
        self._log.append(row)
        self._on_row(row)
        return self._stop_requested()

    def save(self, checkpoint: Checkpoint) -> None:
        """See RunWriter."""
        self._log.sync()
        self._store.save(checkpoint)

    def result(self, name: str, figures: dict[str, Any], columns: Columns) -> None:
        """See RunWriter."""
        folder = self._run.evaluations
        if columns:
            with atomic_path(folder / f"{name}.parquet") as temporary:
                table = {key: np.asarray(column) for key, column in columns.items()}
                pq.write_table(pa.table(table), temporary)
        write_json(folder / f"{name}.json", figures)

    def close(self) -> None:
        """Make the log durable."""
        self._log.close()
