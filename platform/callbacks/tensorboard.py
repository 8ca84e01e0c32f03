"""The metrics of a run as event files for TensorBoard."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from metaray.platform.callbacks.scalars import scalars
from metaray.platform.run.status import Status

FOLDER = "tensorboard"
_FLUSH_S = 5


class TensorBoard:
    """Writes to ``tensorboard/`` of the run; a resumed run hides the steps that come again."""

    def __init__(self, folder: Path, next_step: int) -> None:
        self._writer = SummaryWriter(
            str(folder / FOLDER),
            purge_step=next_step,
            flush_secs=_FLUSH_S,
            filename_suffix=f".{os.getpid()}.{next_step}",  # names have whole seconds alone
        )

    def publish(self, rows: Sequence[Mapping[str, Any]], status: Status, now_s: float) -> None:
        """Every number of every row."""
        for row in rows:
            for key, value in scalars(row):
                self._writer.add_scalar(key, value, row["step"])

    def close(self) -> None:
        """Flush."""
        self._writer.close()
