"""Callbacks that a config names: ``my_callbacks.py:Counter`` or ``package.module:Counter``."""

from __future__ import annotations

from collections.abc import Sequence

from metaray.algorithms import plugins
from metaray.algorithms.errors import InputError
from metaray.platform.callbacks.base import Callback


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
    if not plugins.is_outside(name):
        raise InputError(
            f'monitoring.callbacks takes names like "my_callbacks.py:MyCallback", got {name!r}'
        )
    found = plugins.load(name)
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
