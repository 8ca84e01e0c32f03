"""Damages small valid files at random, always in the same way, and reads them."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metaray.algorithms.errors import InputError, in_one_line

ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.5, 1e300, -1e308, 1e-320,
    "", "x", "5", "null", "nan", "../x", "[/b]", "\n", "\x1b[31m", "é", "😀", [], {}, [0], [[]],
    ["x"], {"x": 0}, [None], "9" * 400,
]  # fmt: skip
"""values of every type that JSON has"""


def damaged(contents: list[bytes]) -> st.SearchStrategy[bytes]:
    """One of ``contents`` with a few bytes changed, cut out or put in."""

    @st.composite
    def draw(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(st.sampled_from(contents)))
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, max(0, len(data) - 1)))
            edit = draw(st.sampled_from(["flip", "set", "cut", "drop", "insert"]))
            if edit == "flip" and data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            elif edit == "set" and data:
                data[at] = draw(st.sampled_from([0, 1, 0x20, 0x30, 0x39, 0x7F, 0x80, 0xFF]))
            elif edit == "cut":
                del data[at:]
            elif edit == "drop":
                del data[at : at + draw(st.integers(1, 16))]
            else:
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
        return bytes(data)

    return draw()


def odd_trees(tree: Any) -> st.SearchStrategy[Any]:
    """``tree`` with a few of its values replaced by odd ones, or left out."""

    @st.composite
    def draw(draw: st.DrawFn) -> Any:
        changed = copy.deepcopy(tree)
        for _ in range(draw(st.integers(1, 3))):
            places = list(_places(changed))
            if not places:
                return draw(st.sampled_from(ODD))
            parent, key = draw(st.sampled_from(places))
            if isinstance(parent, dict) and draw(st.integers(0, 3)) == 0:
                del parent[key]
            else:
                parent[key] = copy.deepcopy(draw(st.sampled_from(ODD)))
        return changed

    return draw()


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in list(items):
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)


def odd_json(tree: Any) -> st.SearchStrategy[bytes]:
    """A JSON file of ``tree`` with odd values, or with odd bytes."""
    text = json.dumps(tree).encode()
    return odd_trees(tree).map(lambda odd: json.dumps(odd).encode()) | damaged([text])


def check_reader(
    cases: st.SearchStrategy[Any], read: Callable[[Any], object], examples: int = 150
) -> None:
    """``read`` gives a value or one sentence for each case: anything else fails the test."""

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(cases)
    def run(case: Any) -> None:
        try:
            read(case)
        except InputError as error:
            check_sentence(error)

    run()


def check_damage(
    contents: list[bytes], read: Callable[[bytes], object], examples: int = 150
) -> None:
    """``read`` takes the ``contents`` as they are, and gives a value or one sentence for damage."""
    for content in contents:
        read(content)
    check_reader(damaged(contents), read, examples)


def check_sentence(error: InputError) -> None:
    """It is one line that a terminal can show, and ends in what to do."""
    text = str(error)
    assert text == in_one_line(text)
    assert len(text) < 2_000, f"{len(text)} characters"
    assert re.search("[:;?,]", text), f"{text!r} does not say what to do"
