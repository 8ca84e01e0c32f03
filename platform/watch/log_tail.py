"""The rows of a ``metrics.jsonl`` that grows, read once each."""

from __future__ import annotations

from pathlib import Path

from metaray.platform.run.metrics_log import MetricsRow, parse_row


class LogTail:
    """Keeps the rows of a log; one that was cut back, as a resumed run does, is read again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = -1
        self._offset = 0
        self.rows: list[MetricsRow] = []
        self.damaged = 0
        """lines that are no rows"""

    def read(self) -> list[MetricsRow]:
        """All whole rows so far; none while there is no file."""
        try:
            with self._path.open("rb") as file:
                inode = self._path.stat().st_ino
                if inode != self._inode or self._path.stat().st_size < self._offset:
                    self._inode, self._offset, self.rows, self.damaged = inode, 0, [], 0
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
        except OSError:  # not there yet, or not to be read
            return self.rows
        self._offset += len(whole) + len(newline)
        for line in whole.splitlines():
            row = parse_row(line)
            if row is None:  # the run itself refuses such a file
                self.damaged += 1
            else:
                self.rows.append(row)
        return self.rows
