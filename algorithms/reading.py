"""Files that others wrote: what is wrong in them becomes one sentence, never a traceback.

All folders of the package read through this module: it is common ground, like ``errors``.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from metaray.algorithms.errors import DiskError, InputError

_LONGEST = 200  # characters of another library's message
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@contextmanager
def refusing_damage(problem: str, remedy: str) -> Iterator[None]:
    """Any exception of the block over a damaged file becomes an InputError.

    A library may raise anything over a damaged file, so the block should hold no more than its
    calls. The sentence is ``problem (reason): remedy``.

    >>> with refusing_damage("notes.json is not JSON", "write it again"):
    ...     json.loads("{")
    Traceback (most recent call last):
    metaray.algorithms.errors.InputError: notes.json is not JSON (Expecting property name enclosed \
in double quotes: line 1 column 2 (char 1)): write it again
    """
    try:
        yield
    except (InputError, DiskError):
        raise
    except Exception as error:
        raise InputError(f"{problem} ({reason(error)}): {remedy}") from error


def reason(error: Exception) -> str:
    """What an error says, in one line.

    >>> reason(KeyError("labels")), reason(MemoryError()), reason(EOFError())
    ("it has no 'labels'", 'it needs more memory than there is', 'EOFError')
    """
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, IndexError | AttributeError | TypeError | AssertionError):
        return "it is damaged or of another kind"  # they speak of the code that read it
    if isinstance(error, KeyError):
        return f"it has no {error}"[:_LONGEST]
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"[:_LONGEST]
    text = (error.strerror if isinstance(error, OSError) else None) or str(error).strip()
    return (text or type(error).__name__).splitlines()[0][:_LONGEST]


def read_json(path: Path, problem: str, remedy: str) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: it cannot be read, is not JSON, or has text that is not Unicode. The sentence is
            that of ``refusing_damage``.
    """
    with refusing_damage(problem, remedy):
        text = path.read_text(encoding="utf-8")
        value = json.loads(text)
        if "\\u" in text:  # half a character, which cannot be written again
            json.dumps(value, ensure_ascii=False).encode()
    return value


def read_object(path: Path, problem: str, remedy: str) -> dict[str, Any]:
    """The object, by name, in a JSON file; InputError as of ``read_json``."""
    value = read_json(path, problem, remedy)
    if not isinstance(value, dict):
        found = type(value).__name__
        raise InputError(f"{problem} (it holds a {found}, not an object): {remedy}")
    return value


def decoded(data: bytes) -> str:
    """Text in UTF-8, or in UTF-16 where a byte-order mark says so; a mark is left out.

    Windows' editors write both.

    >>> decoded(b"cat"), decoded("cat".encode("utf-8-sig")), decoded("cat".encode("utf-16"))
    ('cat', 'cat', 'cat')
    """
    return data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
