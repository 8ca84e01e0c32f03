"""The rows of a ``metrics.jsonl`` that grows, read once each."""

from __future__ import annotations

import json
from pathlib import Path

from metaray.platform.run.metrics_log import MetricsRow


class LogTail:
    """Keeps the rows of a log; one that was cut back, as a resumed run does, is read anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = -1
        self._offset = 0
        self.rows: list[MetricsRow] = []

    def read(self) -> list[MetricsRow]:
        """All whole rows so far; none while there is no file."""
        try:
            with self._path.open("rb") as file:
                inode = self._path.stat().st_ino
                if inode != self._inode or self._path.stat().st_size < self._offset:
                    self._inode, self._offset, self.rows = inode, 0, []
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return self.rows
        self._offset += len(whole) + len(newline)
        for line in whole.splitlines():
            try:
                self.rows.append(json.loads(line))
            except ValueError:  # not ours to judge: the run itself refuses such a file
                continue
        return self.rows
