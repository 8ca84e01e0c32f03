"""Callbacks that a config names: ``my_file.py:Counter``, or a name that a package offers."""

from __future__ import annotations

from collections.abc import Sequence

from metaray.algorithms.errors import InputError
from metaray.algorithms.open_registry import Registry, not_one_of
from metaray.algorithms.plugins import is_outside
from metaray.platform.callbacks.base import Callback

CALLBACKS = Registry("monitoring.callbacks", "metaray.callbacks", {})
"""metaray offers none itself: what it records has other settings"""


def load_callbacks(names: Sequence[str]) -> list[Callback]:
    """A new object of each class.

    Raises:
        InputError: as ``callback_class``, or an object cannot be made without arguments.
    """
    return [_new(name) for name in names]


def callback_class(name: str) -> type[Callback]:
    """The class that ``name`` means.

    Raises:
        InputError: there is no such module or class, or it is not a callback.
    """
    if not is_outside(name) and name not in CALLBACKS.names():
        raise InputError(
            not_one_of(CALLBACKS.key, name, [*CALLBACKS.names(), '"my_callbacks.py:MyCallback"'])
        )
    found = CALLBACKS.target(name)
    if isinstance(found, type) and issubclass(found, Callback):
        return found
    raise InputError(
        f"monitoring.callbacks has {name}, which is not a subclass of metaray's Callback: derive "
        "it from metaray.platform.callbacks.base.Callback"
    )


def _new(name: str) -> Callback:
    found = callback_class(name)
    try:
        return found()
    except Exception as error:
        raise InputError(
            f"monitoring.callbacks has {name}, but {found.__name__}() failed "
            f"({type(error).__name__}: {error})"
        ) from error
