"""Pickles as data: arrays of any protocol come whole, and nothing else is called."""

from __future__ import annotations

import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.safe_pickle import load_data


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_and_arrays_of_every_protocol(protocol: int) -> None:
    content = {
        "images": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        "turned": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "classes": OrderedDict(a=[0, 1], b=range(3)),
        "one": np.int64(7),
        "raw": b"\x00\xff",
        "text": ("x", None, True, 1.5),
    }
    read = load_data(io.BytesIO(pickle.dumps(content, protocol)), "x")
    np.testing.assert_array_equal(read.pop("images"), content.pop("images"))
    np.testing.assert_array_equal(read.pop("turned"), content.pop("turned"))
    assert read == content


class Calls:
    """An object whose pickle calls a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    "function", [os.mkdir, exec, eval, getattr, __import__, np.load, np.fromfile]
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_call_is_refused_by_name(
    function: Any, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps({"x": Calls(function, "made")}, protocol)
    with pytest.raises(InputError, match=f"asks for .*{function.__name__}, which could run code"):
        load_data(io.BytesIO(data), "set.pkl")
    assert not list(tmp_path.iterdir())


class Dtype:
    """An array's type whose state calls the bytes of an array pointers to objects."""

    def __reduce__(self) -> Any:
        fields = {"a": (np.dtype(object), 0)}
        return np.dtype, ("V8", False, True), (3, "|", None, ("a",), fields, 8, 1, 0)


ADDRESS = b"A" * 8


@pytest.mark.parametrize(
    "forged",
    [
        Calls(np.ndarray, (1,), np.dtype("u1"), ADDRESS),
        Calls(np.ndarray, (1,), np.dtype(object), ADDRESS),
        Calls(np.zeros(0).__reduce__()[0], np.ndarray, (1,), Dtype()),
        Dtype(),
        np.array([os.mkdir], dtype=object),
        np.zeros(2, dtype=[("a", "u1")]),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_bytes_never_become_addresses_of_objects(forged: Any, protocol: int) -> None:
    data = pickle.dumps({"x": forged}, protocol)
    with pytest.raises(InputError, match=r"set\.pkl is not plain data: it asks for"):
        load_data(io.BytesIO(data), "set.pkl")


def test_numbers_of_another_machine_keep_their_value() -> None:
    data = pickle.dumps(np.arange(5, dtype=">i4"))
    assert load_data(io.BytesIO(data), "x").tolist() == [0, 1, 2, 3, 4]


def test_damage_is_one_sentence() -> None:
    whole = pickle.dumps(np.zeros(100))
    for data in (b"", whole[:40], b"not a pickle", whole[:-1]):
        with pytest.raises(InputError, match=r"set\.pkl is truncated or not a pickle"):
            load_data(io.BytesIO(data), "set.pkl")
