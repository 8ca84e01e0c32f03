"""Files of predictions: CSV, JSON lines or Parquet, by the ending of their name."""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typing_extensions import override

from metaray.algorithms.atomic import atomic_path
from metaray.algorithms.errors import InputError, write_error
from metaray.platform.inference.predictions import Prediction

_ROWS = 4096  # that a Parquet file takes at a time

Row = dict[str, Any]


class Writer(ABC):
    """A file that takes a row at a time; ``columns`` are its names and types."""

    @abstractmethod
    def __init__(self, path: Path, columns: dict[str, Any]) -> None: ...

    @abstractmethod
    def write(self, row: Row) -> None:
        """The next row."""

    @abstractmethod
    def close(self) -> None:
        """After the last row."""


class _Csv(Writer):
    @override
    def __init__(self, path: Path, columns: dict[str, Any]) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._rows = csv.DictWriter(self._file, columns)
        self._rows.writeheader()

    @override
    def write(self, row: Row) -> None:
        self._rows.writerow(row)

    @override
    def close(self) -> None:
        self._file.close()


class _JsonLines(Writer):
    @override
    def __init__(self, path: Path, columns: dict[str, Any]) -> None:
        self._file = path.open("w", encoding="utf-8")

    @override
    def write(self, row: Row) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    @override
    def close(self) -> None:
        self._file.close()


class _Parquet(Writer):
    @override
    def __init__(self, path: Path, columns: dict[str, Any]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {str: pa.string(), bool: pa.bool_(), float: pa.float64()}
        self._schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
        self._file = pq.ParquetWriter(path, self._schema)
        self._rows: list[Row] = []

    @override
    def write(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) >= _ROWS:
            self._flush()

    @override
    def close(self) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        import pyarrow as pa

        self._file.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self._rows = []


WRITERS: dict[str, type[Writer]] = {
    ".csv": _Csv,
    ".jsonl": _JsonLines,
    ".parquet": _Parquet,
}
"""by the ending of the file's name"""


def check_ending(path: Path) -> None:
    """Raise InputError where the name of a file does not say a format."""
    if path.suffix.lower() not in WRITERS:
        known = ", ".join(WRITERS)
        raise InputError(f"the ending of {path} says no format: give one of {known}")


def columns_of(classes: Sequence[str]) -> dict[str, Any]:
    """Names and types of the columns of a file of predictions."""
    return {
        "file": str,
        "label": str,
        "probability": float,
        "true_label": str,
        "rejected": bool,
        "error": str,
        **{f"p_{name}": float for name in classes},
    }


def row_of(one: Prediction, classes: Sequence[str], reject: bool) -> Row:
    """The row of a prediction. The label of what cannot be read or is rejected is None."""
    row: Row = dict.fromkeys(columns_of(classes))
    row |= {"file": one.file, "true_label": one.true_label or None, "error": one.error or None}
    if one.probabilities is None:
        return row
    rejected = reject and one.refused
    probabilities = {
        f"p_{name}": float(p) for name, p in zip(classes, one.probabilities, strict=True)
    }
    return row | {
        "label": None if rejected else classes[one.best],
        "probability": one.probability,
        "rejected": rejected if reject else None,
        **probabilities,
    }


@contextmanager
def writer_of(path: Path, classes: Sequence[str]) -> Iterator[Writer]:
    """A file of predictions, which appears when all rows are written.

    Raises:
        InputError: its name says no format, or it cannot be written.
    """
    check_ending(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            writer = WRITERS[path.suffix.lower()](temporary, columns_of(classes))
            try:
                yield writer
            finally:
                writer.close()
    except OSError as error:
        raise write_error(f"the predictions {path}", error, "choose another --out") from error
