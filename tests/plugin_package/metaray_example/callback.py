"""A callback."""

from __future__ import annotations

from typing_extensions import override

from metaray.platform.callbacks.base import Callback, RunInfo
from metaray.platform.run.metrics_log import MetricsRow


class Steps(Callback):
    """Writes the numbers of the steps into the run directory."""

    @override
    def on_start(self, info: RunInfo) -> None:
        self._file = info.folder / "steps.txt"

    @override
    def on_step(self, row: MetricsRow) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{row['step']}\n")
