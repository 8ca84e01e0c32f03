"""Paths as people write them, and the folder of what can be computed again."""

from __future__ import annotations

import os
from pathlib import Path

from metaray.algorithms.errors import InputError


def has_home() -> bool:
    """Whether the user has a home directory; one without an entry in passwd may have none."""
    return os.path.expanduser("~") != "~"


def user_path(text: str | Path) -> Path:
    """The path, with the home directory in place of ``~``.

    Raises:
        InputError: no file can have such a path.
    """
    if "\0" in str(text):
        raise InputError(f"{str(text)!r} is not a path: remove the zero byte")
    if not str(text).isascii() and str(text).encode(errors="replace").decode() != str(text):
        raise InputError(f"{str(text)!r} is not a path in UTF-8: rename the file or folder")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        first = Path(text).parts[0]
        why = f"there is no user {first[1:]}" if first != "~" else "this user has no home directory"
        raise InputError(
            f"{str(text)!r} is not a path ({why}): write the whole path, or put ./ before it"
        ) from None


def absolute(text: str) -> str:
    """The same, from the root on: each worker runs in another folder."""
    return str(user_path(text).absolute())


def cache_root() -> Path:
    """``$METARAY_CACHE``, or ``~/.cache/metaray``.

    Raises:
        InputError: the variable is not set, and the user has no home directory.
    """
    named = os.environ.get("METARAY_CACHE")
    if not named and not has_home():
        raise InputError(
            "there is no place for prepared data, since this user has no home directory: set "
            "METARAY_CACHE to a folder that you can write to"
        )
    return user_path(named or "~/.cache/metaray").absolute()
