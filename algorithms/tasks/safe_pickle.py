"""Reading data that was published as a pickle, without running what a pickle may run.

A pickle can name any function to be called. This reader admits what plain data and numpy arrays of
numbers and text need, and refuses everything else by name.
"""

from __future__ import annotations

import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.algorithms.reading import refusing_damage

_LONGEST_RANGE = 2**24
_MEMO_CODES = ("PUT", "BINPUT", "LONG_BINPUT")
_NUMPY_CORES = ("numpy.core", "numpy._core")  # before numpy 2, and since


def load_data(file: BinaryIO, name: str | Path) -> Any:
    """The content of ``file``; byte strings of Python 2 come as str.

    InputError when it is truncated, is no pickle, or holds more than data; ``name`` says in it
    which file that is.
    """
    try:
        _check_memo(file)
        return _DataUnpickler(file, encoding="latin1").load()
    except _RefusedError as error:
        raise InputError(
            f"{name} is not plain data: it asks for {error}, which could run code or take "
            "all memory; get the file from where it was published"
        ) from None
    except Exception as error:  # a damaged pickle may raise anything
        raise InputError(
            f"{name} is truncated or not a pickle ({type(error).__name__}): fetch it again"
        ) from error


def _check_memo(file: BinaryIO) -> None:
    """Refuse places in the memo beyond the number of objects: Python would make room for all."""
    start = file.tell()
    for count, (code, place, _) in enumerate(pickletools.genops(file)):
        if code.name in _MEMO_CODES and isinstance(place, int) and place > count:
            raise _RefusedError(f"place {place:,} in the memory of the reader")
    file.seek(start)


def array_of(value: Any, name: str) -> NDArray[Any]:
    """What a pickle holds as an array.

    Raises:
        InputError: it is no array, such as rows of different lengths; ``name`` says in it what.
    """
    with refusing_damage(f"{name} is no array of numbers", "fetch it again"):
        found = np.asarray(value)
        if found.dtype.kind not in "biuf":
            raise ValueError(f"it holds {found.dtype}")
        return found


class _RefusedError(Exception):
    """A pickle asks for something that is not data."""


def _range(*bounds: int) -> range:
    """Indices of images, which an array is made of; a longer one would take any memory."""
    found = range(*bounds)
    if len(found) > _LONGEST_RANGE:
        raise _RefusedError(f"a range of {len(found):,} numbers")
    return found


def _text_to_bytes(text: str, encoding: str = "latin1") -> bytes:
    """How Python 3 writes bytes in a form that Python 2 reads."""
    if encoding not in ("latin1", "latin-1"):
        raise _RefusedError(f"the codec {encoding}")
    return text.encode("latin1")


class _Type:
    """The type of an array's numbers: a code such as ``u1``, then their byte order.

    In place of numpy's own, whose state can describe objects as if they were numbers.
    """

    def __init__(self, code: str, *_: Any) -> None:
        self.dtype = np.dtype(str(code))
        if self.dtype.kind not in "biufcSU":
            raise _RefusedError(f"an array of {self.dtype}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, *fields = state[:5]
        if any(fields):
            raise _RefusedError("an array of records")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray[Any, Any]):
    """What an array is while it is read."""

    @override
    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, kind, fortran_order, data = state
        super().__setstate__((version, shape, _dtype(kind), fortran_order, data))


def _dtype(kind: Any) -> np.dtype[Any]:
    if not isinstance(kind, _Type):
        raise _RefusedError(f"an array of {kind!r}")
    return kind.dtype


def _array_class(*_: Any) -> Any:
    """Stands for ``numpy.ndarray``, which a pickle may name, but which would take any memory."""
    raise _RefusedError("numpy.ndarray by itself")


def _empty_array(kind: Any, shape: tuple[int, ...], code: Any) -> Any:
    """The array that the pickle then fills."""
    if kind is not _array_class:
        raise _RefusedError(f"an array of kind {kind}")
    return _Array(0, np.uint8)


def _array_from_buffer(buffer: Any, kind: Any, shape: tuple[int, ...], order: Any) -> Any:
    return np.frombuffer(buffer, dtype=_dtype(kind)).reshape(shape, order=order)


def _scalar(kind: Any, data: bytes | str) -> Any:
    raw = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(raw, dtype=_dtype(kind))[0]


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _array_class,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _text_to_bytes,
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "range"): _range,
    ("__builtin__", "xrange"): _range,
}
for _core in _NUMPY_CORES:
    _ADMITTED[f"{_core}.multiarray", "_reconstruct"] = _empty_array
    _ADMITTED[f"{_core}.multiarray", "scalar"] = _scalar
    _ADMITTED[f"{_core}.numeric", "_frombuffer"] = _array_from_buffer


class _DataUnpickler(pickle.Unpickler):
    @override
    def find_class(self, module: str, name: str) -> Any:
        admitted = _ADMITTED.get((module, name))
        if admitted is None:
            raise _RefusedError(f"{module}.{name}")
        return admitted

    @override
    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError(f"a persistent object ({pid!r})")
