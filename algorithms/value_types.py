"""Numbers and truth values stand as such in settings: text is not taken for them.

pydantic by itself reads "100" as 100, true as 1 and 1 as true. A setting in quotes is more often a
mistake than meant, and what is taken silently here fails elsewhere. Whole numbers with a decimal
point or an exponent (``1e5``, which is a float in TOML) are taken for whole numbers, since nothing
else can be meant; 100.5 is refused.
"""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

_NUMBERS = {int, float}


def wrong_type(annotation: Any, value: Any) -> str | None:
    """What is wrong with a value for a setting of type ``annotation``, and what to write.

    None where the value may be right, as far as this is about numbers and truth values.

    >>> wrong_type(int, "100")
    'is text, not a number: write 100 without quotes'
    >>> wrong_type(float | None, True), wrong_type(bool, 1)
    ('is a truth value, not a number: write a number', 'is a number, not a truth value: write true')
    >>> wrong_type(tuple[float, ...], [0.5, "0.5"])
    'has an item "0.5", which is text, not a number: write 0.5 without quotes'
    >>> wrong_type(int, 1e5), wrong_type(int | str, "auto")
    (None, None)
    """
    leaves = set(_leaves(annotation)) - {NoneType}
    if isinstance(value, list | tuple):
        return _wrong_item(leaves, value)
    if not leaves or not leaves <= {int, float, bool}:
        return None
    if isinstance(value, str):
        what = "a truth value" if leaves == {bool} else "a number"
        return f"is text, not {what}: write {_without_quotes(value, leaves, what)}"
    if isinstance(value, bool):
        is_taken = bool in leaves
        return None if is_taken else "is a truth value, not a number: write a number"
    if isinstance(value, int | float) and not leaves & _NUMBERS:
        meant = "false" if value == 0 else "true" if value == 1 else "true or false"
        return f"is a number, not a truth value: write {meant}"
    return None


def _leaves(annotation: Any) -> list[Any]:
    """The types that a value may have, without unions and annotations around them."""
    if get_origin(annotation) is Annotated:
        return _leaves(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [leaf for part in get_args(annotation) for leaf in _leaves(part)]
    return [annotation]


def _wrong_item(leaves: set[Any], values: list[Any] | tuple[Any, ...]) -> str | None:
    sequences = [leaf for leaf in leaves if get_origin(leaf) in (tuple, list)]
    if len(sequences) != 1:
        return None
    types = [item for item in get_args(sequences[0]) if item is not Ellipsis]
    for index, value in enumerate(values):
        wrong = wrong_type(types[min(index, len(types) - 1)], value) if types else None
        if wrong is not None:
            shown = f'"{value}"' if isinstance(value, str) else str(value).lower()
            return f"has an item {shown}, which {wrong}"
    return None


def _without_quotes(text: str, leaves: set[Any], what: str) -> str:
    """What was meant by ``text``; ``what`` where that is not plain."""
    bare = text.strip()
    if bool in leaves and bare.lower() in ("true", "false"):
        return f"{bare.lower()} without quotes"
    try:
        is_number = bool(leaves & _NUMBERS) and abs(float(bare)) < float("inf")
    except ValueError:
        is_number = False
    return f"{bare} without quotes" if is_number else what
