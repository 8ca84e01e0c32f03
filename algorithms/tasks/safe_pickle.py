"""Reading data that was published as a pickle, without running what a pickle may run.

A pickle can name any function to be called. This reader admits what plain data and numpy arrays
need, and refuses everything else by name.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from metaray.algorithms.errors import InputError

_NUMPY_CORES = ("numpy.core", "numpy._core")  # before numpy 2, and since


def load_data(file: BinaryIO, name: str | Path) -> Any:
    """The content of ``file``; byte strings of Python 2 come as str.

    InputError when it is truncated, is no pickle, or holds more than data; ``name`` says in it
    which file that is.
    """
    try:
        return _DataUnpickler(file, encoding="latin1").load()
    except _RefusedError as error:
        raise InputError(
            f"{name} is not plain data: it asks for {error}, which could run code; get the file "
            "from where it was published"
        ) from None
    except Exception as error:  # a damaged pickle may raise anything
        raise InputError(
            f"{name} is truncated or not a pickle ({type(error).__name__}): fetch it again"
        ) from error


class _RefusedError(Exception):
    """A pickle asks for something that is not data."""


def _text_to_bytes(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 writes bytes in a form that Python 2 reads."""
    if encoding not in ("latin1", "latin-1"):
        raise _RefusedError(f"the codec {encoding}")
    return text.encode("latin1")


def _empty_array(kind: type, shape: tuple[int, ...], dtype: Any) -> Any:
    """The array that the pickle then fills."""
    if kind is not np.ndarray:
        raise _RefusedError(f"an array of kind {kind}")
    return np.ndarray.__new__(np.ndarray, shape, dtype)


def _array_from_buffer(buffer: Any, dtype: Any, shape: tuple[int, ...], order: Any) -> Any:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)


def _scalar(dtype: Any, data: bytes | str) -> Any:
    raw = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(raw, dtype=dtype)[0]


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _text_to_bytes,
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "range"): range,
    ("__builtin__", "xrange"): range,
}
for _core in _NUMPY_CORES:
    _ADMITTED[f"{_core}.multiarray", "_reconstruct"] = _empty_array
    _ADMITTED[f"{_core}.multiarray", "scalar"] = _scalar
    _ADMITTED[f"{_core}.numeric", "_frombuffer"] = _array_from_buffer


class _DataUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        admitted = _ADMITTED.get((module, name))
        if admitted is None:
            raise _RefusedError(f"{module}.{name}")
        return admitted

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError(f"a persistent object ({pid!r})")
