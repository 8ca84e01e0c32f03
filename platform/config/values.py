"""How the value of a setting is written, in ``--set``, in TOML and in the commands of reports.

TOML has no word for "no value". Ours is ``null``: bare in ``--set``, a string in a TOML file.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping
from typing import Any

from metaray.algorithms.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NULL = "null"
_BARE = re.compile(r"[A-Za-z_/~.][\w/~.-]*")
MAX_DEPTH = 16
"""how deeply settings may be nested"""
_TOO_DEEP = f"values are nested more than {MAX_DEPTH} deep"
_LARGEST = 2**63  # as TOML promises
_NOT_TEXT = {"true", "false", "inf", "nan"}


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text, in which the string ``null`` is no value.

    Raises:
        ValueError: it is not TOML, or holds numbers or nested values beyond all use.

    >>> parse_toml('[train]\\nclip_norm = "null"')
    {'train': {'clip_norm': None}}
    """
    try:
        tree: dict[str, Any] = _with_none(tomllib.loads(text))
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    return tree


def parse_value(text: str) -> Any:
    """The value that ``--set key=text`` gives; a bare word is a string.

    Raises:
        InputError: a number is too large, or values are nested too deeply.

    >>> parse_value("0.1"), parse_value("anil"), parse_value("null")
    (0.1, 'anil', None)
    """
    if text == NULL:
        return None
    try:
        return parse_toml(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    except ValueError as error:
        raise InputError(f"the value {text[:40]}... cannot be read ({error}): shorten it") from None


def set_value(value: Any) -> str:
    """A value as ``--set`` takes it; ``parse_value`` gives it back.

    >>> set_value(None), set_value("anil"), set_value((1, 2)), set_value("1")
    ('null', 'anil', '[1, 2]', '"1"')
    """
    if value is None:
        return NULL
    if isinstance(value, str) and _BARE.fullmatch(value) and value not in _NOT_TEXT:
        return value
    return toml_value(value)


def toml_value(value: Any) -> str:
    """A value as it stands in a TOML file; ``parse_toml`` gives it back.

    >>> toml_value(None), toml_value(["a", 1.5]), toml_value({"train.schedule": "step"})
    ('"null"', '["a", 1.5]', '{ "train.schedule" = "step" }')
    """
    if value is None:
        return f'"{NULL}"'
    if isinstance(value, Mapping):
        pairs = (f"{toml_value(str(key))} = {toml_value(item)}" for key, item in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # inf and nan, which JSON writes otherwise
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_tables(values: Mapping[str, Any]) -> str:
    """Values by path, such as ``{"train.meta_lr": 0.01}``, as a TOML file."""
    sections: dict[str, list[str]] = {}
    for key, value in values.items():
        section, _, leaf = key.rpartition(".")
        sections.setdefault(section, []).append(f"{leaf} = {toml_value(value)}")
    blocks = [
        "\n".join([*([f"[{name}]"] if name else []), *lines])
        for name, lines in sorted(sections.items())
    ]
    return "\n\n".join(blocks) + "\n"


def _with_none(value: Any, depth: int = 0) -> Any:
    """``value`` with None in the place of each string ``null``."""
    if depth > MAX_DEPTH:
        raise ValueError(_TOO_DEEP)
    if isinstance(value, dict):
        return {key: _with_none(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_none(item, depth + 1) for item in value]
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        raise ValueError("a whole number has over 64 bits")
    return None if value == NULL else value
