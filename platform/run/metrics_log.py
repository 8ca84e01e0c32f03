"""The metrics of a run: one JSON line per outer step, durable, and cut back on resume."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from typing_extensions import Self

from metaray.algorithms.atomic import atomic_path
from metaray.algorithms.errors import DiskError, InputError, write_error

_LARGEST = 1e300  # so that sums and differences of what was read are finite
MetricsRow = dict[str, Any]
"""The metrics of one step, by name; ``step`` counts the steps done, from 1."""


class MetricsLog:
    """Appends rows to a file of JSON lines; ``row["step"]`` counts the outer steps done, from 1.

    A row is with the operating system when ``append`` returns, so a killed process loses none;
    and on the disk within about a second, or when ``sync`` returns, so a power cut loses little.
    """

    def __init__(self, path: Path, *, sync_every_s: float = 1.0) -> None:
        """Open ``path`` for appending; it is made if need be, and a torn last line is removed."""
        self._path = path
        self._sync_every_s = sync_every_s
        self._file = -1
        try:
            if path.exists():
                self._rewrite(last_step=None)
            self._open()
        except OSError as error:
            raise self._cannot_write(error) from error

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row; infinite and NaN become null, as JSON has neither.

        Raises:
            InputError: the disk is full or cannot be written. The file then ends with the row
                before.
        """
        finite = {key: _finite(value) for key, value in row.items()}
        line = memoryview(json.dumps(finite, allow_nan=False).encode() + b"\n")
        size = os.fstat(self._file).st_size
        try:
            while line:  # a write may take only a part
                line = line[os.write(self._file, line) :]
            if time.monotonic() - self._synced_at >= self._sync_every_s:
                self.sync()
        except OSError as error:
            with suppress(OSError):  # a read-only disk keeps what it has
                os.ftruncate(self._file, size)
            raise self._cannot_write(error) from error

    def sync(self) -> None:
        """Return when all rows are on the disk: call it before a checkpoint counts on them."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._cannot_write(error) from error
        self._synced_at = time.monotonic()

    def truncate_after(self, step: int) -> None:
        """Drop the rows of steps after ``step``, which a resumed run does again; all or nothing."""
        try:
            self._rewrite(last_step=step)
            os.close(self._file)
            self._open()
        except OSError as error:
            raise self._cannot_write(error) from error

    def missing(self, last_step: int) -> list[int]:
        """The steps up to ``last_step`` that have no row: something else changed the file."""
        there = {row["step"] for _, row in _rows(self._path)}
        return [step for step in range(1, last_step + 1) if step not in there]

    def close(self) -> None:
        """Make all rows durable and close the file. A second call does nothing."""
        if self._file < 0:
            return
        try:
            self.sync()
        finally:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def read(path: Path) -> list[MetricsRow]:
        """All rows of ``path``, less a last line that a killed process left torn.

        Raises:
            InputError: the file cannot be read, or a line before the last is not a row.
        """
        try:
            return [row for _, row in _rows(path)]
        except OSError as error:
            raise InputError(f"cannot read the metrics {path}: {error.strerror}") from error

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        self._synced_at = time.monotonic()

    def _rewrite(self, last_step: int | None) -> None:
        """Keep the whole rows up to ``last_step`` (None: all) as they are, and nothing else."""
        kept = b"".join(
            line for line, row in _rows(self._path) if last_step is None or row["step"] <= last_step
        )
        if len(kept) == self._path.stat().st_size:
            return
        with atomic_path(self._path) as temporary:
            temporary.write_bytes(kept)

    def _cannot_write(self, error: OSError) -> InputError | DiskError:
        remedy = f"make room or make it writable, then continue with --resume {self._path.parent}"
        return write_error(f"the metrics {self._path}", error, remedy)


def _rows(path: Path) -> Iterator[tuple[bytes, MetricsRow]]:
    """Whole lines with what they say. Only the last may be torn: a crash cannot tear another."""
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        row = parse_row(line) if line.endswith(b"\n") else None
        if row is not None:
            yield line, row
        elif number < len(lines):
            raise InputError(
                f"line {number} of {path} is not a row of metrics: something else wrote to the "
                "file; remove that line"
            )


def parse_row(line: bytes) -> MetricsRow | None:
    """What a line says; None where it is no row: a whole ``step``, and numbers or null by name."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int or row["step"] < 0:
        return None
    return row if all(map(_is_metric, row.values())) else None


def _is_metric(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and abs(value) < _LARGEST)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
