"""What counts as one picture, and as one class, of several designers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metaray.algorithms.tasks.designs import (
    AMBIGUOUS,
    COPIES,
    PLACEHOLDERS,
    RARE,
    SECOND,
    Drawings,
    classes_of_designs,
)


def picture(value: int) -> NDArray[np.uint8]:
    return np.full((1, 2, 2), value, np.uint8)


def drawings(**designers: dict[str, int]) -> list[Drawings]:
    return [
        Drawings(name, {key: picture(value) for key, value in values.items()})
        for name, values in designers.items()
    ]


def test_keys_that_most_designers_draw_alike_are_one_class() -> None:
    found = classes_of_designs(
        drawings(a={"A": 1, "Alpha": 1}, b={"A": 2, "Alpha": 2}, c={"A": 3, "Alpha": 4}), 2
    )
    (one,) = found.classes
    assert one.keys == ("A", "Alpha")
    assert {name: int(image.max()) for name, image in one.images.items()} == {
        "a": 1,
        "b": 2,
        "c": 3,
    }
    assert found.left_out[SECOND] == 3


def test_a_picture_that_few_share_is_left_out_of_both_classes() -> None:
    found = classes_of_designs(
        drawings(
            a={"I": 1, "l": 1}, b={"I": 2, "l": 3}, c={"I": 4, "l": 5}, d={"I": 6, "l": 7}
        ),
        2,
    )  # fmt: skip
    assert [one.keys for one in found.classes] == [("I",), ("l",)]
    assert [sorted(one.images) for one in found.classes] == [["b", "c", "d"]] * 2
    assert found.left_out[AMBIGUOUS] == 2


def test_one_strange_designer_joins_nothing() -> None:
    """It alone has both keys, which others draw apart."""
    others = {f"x{i}": {"x": 10 + i} for i in range(9)} | {f"y{i}": {"y": 30 + i} for i in range(9)}
    found = classes_of_designs(drawings(**{"strange": {"x": 1, "y": 1}, **others}), 2)
    assert [one.keys for one in found.classes] == [("x",), ("y",)]
    assert [len(one.images) for one in found.classes] == [9, 9]


def test_a_design_under_two_names_counts_once() -> None:
    found = classes_of_designs(drawings(a={"A": 1}, b={"A": 1}, c={"A": 2}), 2)
    assert [sorted(one.images) for one in found.classes] == [["a", "c"]]
    assert found.left_out[COPIES] == 1


def test_rare_classes_and_placeholders_are_left_out() -> None:
    boxes = {f"k{i}": 9 for i in range(9)}
    found = classes_of_designs(drawings(a={"A": 1, "B": 2, **boxes}, b={"A": 3}), 2)
    assert [one.keys for one in found.classes] == [("A",)]
    assert found.left_out[PLACEHOLDERS] == 9
    assert found.left_out[RARE] == 1
