"""Vectors and their classes in Parquet files, whose sizes are checked before they are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from metaray.algorithms.errors import InputError
from metaray.algorithms.reading import refusing_damage
from metaray.algorithms.tasks.limits import ReadLimits


def read_vectors(
    files: Sequence[Path], label_column: str, limits: ReadLimits
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Vectors ``[n, D]`` and classes ``[n]`` of all ``files``, whose columns are the same.

    Raises:
        InputError: a file is damaged or too large, has no column of classes, other columns than
            numbers or one of lists, lists of different lengths, or empty cells.
    """
    tables = [_table(path, limits) for path in files]
    first = tables[0].column_names
    for path, table in zip(files, tables, strict=True):
        if table.column_names != first:
            raise InputError(
                f"{path} has the columns {_some(table.column_names)}, and {files[0].name} has "
                f"{_some(first)}: give the files the same columns"
            )
    rows = [_rows(p, t, label_column) for p, t in zip(files, tables, strict=True)]
    sizes = {x.shape[1] for x, _ in rows}
    if len(sizes) > 1:
        found = " and ".join(map(str, sorted(sizes)))
        raise InputError(
            f"the files of {files[0].parent} have vectors of {found} numbers: give them one length"
        )
    vectors, labels = zip(*rows, strict=True)
    return np.concatenate(vectors), np.concatenate(labels)


def _table(path: Path, limits: ReadLimits) -> pa.Table:
    with refusing_damage(f"cannot read {path}", "write it again as Parquet"):
        file = pq.ParquetFile(path)
        groups = range(file.metadata.num_row_groups)
        size = sum(file.metadata.row_group(i).total_byte_size for i in groups)
        limits.check_unpacked(size, str(path))
        table = file.read()
        table.validate(full=True)
        return table


def _rows(path: Path, table: pa.Table, label_column: str) -> tuple[NDArray[Any], NDArray[Any]]:
    if label_column not in table.column_names:
        raise InputError(
            f"{path} has no column {label_column}, but {_some(table.column_names)}: set "
            "data.label_column to the column of classes"
        )
    for name in table.column_names:
        if table.column(name).null_count:
            raise InputError(f"column {name} of {path} has empty cells: fill or remove those rows")
    others = table.drop_columns([label_column])
    lists = [field.name for field in others.schema if _is_list(field.type)]
    wrong = [f.name for f in others.schema if f.name not in lists and not _is_number(f.type)]
    if wrong or len(lists) > 1 or (lists and others.num_columns > 1) or not others.num_columns:
        columns = ", ".join(f"{field.name} ({field.type})" for field in others.schema) or "none"
        raise InputError(
            f"{path} has beside {label_column} the columns {columns}, which are no vector: keep "
            "one column of lists of numbers, or columns of numbers alone"
        )
    if not table.num_rows:
        raise InputError(f"{path} has no rows: add some or remove the file")
    x = _of_lists(path, others.column(0)) if lists else _of_columns(others)
    return x, _labels(path, table.column(label_column))


def _of_columns(table: pa.Table) -> NDArray[Any]:
    return np.stack([_numbers(column) for column in table.columns], axis=1)


def _of_lists(path: Path, column: pa.ChunkedArray) -> NDArray[Any]:
    parts = [
        (_numbers(chunk.flatten()), np.asarray(pa.compute.list_value_length(chunk)))
        for chunk in column.chunks
        if len(chunk)
    ]
    lengths = np.unique(np.concatenate([length for _, length in parts]))
    if len(lengths) > 1 or not lengths[0]:
        raise InputError(
            f"{path} has lists of {lengths[0]} to {lengths[-1]} numbers: give all the same length, "
            "of at least one"
        )
    values = np.concatenate([numbers for numbers, _ in parts])
    if len(values) % lengths[0]:
        raise InputError(f"{path} has empty cells in its lists: fill or remove those rows")
    return values.reshape(-1, lengths[0])


def _numbers(column: Any) -> NDArray[Any]:
    """Numbers of a column; NaN where there is none."""
    found: NDArray[Any] = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found


def _labels(path: Path, column: pa.ChunkedArray) -> NDArray[Any]:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (text or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise InputError(
            f"{path} has classes of the type {column.type}: make them integers or text"
        )
    return np.asarray(column.to_pylist())


def _is_list(kind: pa.DataType) -> bool:
    is_list = (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
    return is_list and _is_number(kind.value_type)


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
