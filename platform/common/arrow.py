"""Arrow's tables from numpy's arrays and back, without pandas.

``pa.array``, ``to_numpy`` and ``pq.read_table`` import pandas, which takes most of a second in the
process of a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray


def to_column(values: NDArray[Any]) -> pa.Array:
    """Values ``[n]``, or lists of equal length from values ``[n, m]``."""
    if values.dtype.kind not in "iuf":  # Arrow keeps others in another form
        return pa.array(list(values) if values.ndim > 1 else values)
    values = np.ascontiguousarray(values)
    kind = pa.from_numpy_dtype(values.dtype)
    flat = pa.Array.from_buffers(kind, values.size, [None, pa.py_buffer(values)])
    if values.ndim == 1:
        return flat
    n, m = values.shape
    ends = pa.py_buffer(np.arange(n + 1, dtype=np.int32) * m)
    return pa.Array.from_buffers(pa.list_(kind), n, [None, ends], children=[flat])


def from_column(column: pa.ChunkedArray) -> NDArray[Any]:
    """The values of a column of numbers that has no nulls."""
    return np.from_dlpack(column.combine_chunks())


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The table in a file, or some of its columns."""
    with pq.ParquetFile(path) as file:
        return file.read(columns=columns)
