"""Settings as nested dicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from metaray.algorithms.errors import InputError

_MAX_SECTIONS = 16
Tree = dict[str, Any]


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dicts as ``("a.b", value)``."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def with_values(tree: Tree, values: Mapping[str, Any]) -> Tree:
    """``tree`` with values by path, such as ``{"train.meta_lr": 0.01}``, on top."""
    result = merged({}, tree)
    for path, value in values.items():
        put(result, path, value)
    return result


def merged(below: Tree, above: Tree) -> Tree:
    """``below`` with what ``above`` sets on top."""
    result = dict(below)
    for key, value in above.items():
        inner = result.get(key)
        if isinstance(value, dict):
            result[key] = merged(inner if isinstance(inner, dict) else {}, value)
        else:
            result[key] = value
    return result


def get(tree: Tree, path: str, default: Any) -> Any:
    """What lies at ``path`` in nested dicts."""
    node: Any = tree
    for key in path.split("."):
        if not isinstance(node, dict) or key not in node:
            return default
        node = node[key]
    return node


def put(tree: Tree, path: str, value: Any) -> None:
    """Set ``path`` in nested dicts."""
    *sections, leaf = path.split(".")
    if len(sections) > _MAX_SECTIONS:
        raise InputError(f"unknown setting {path[:40]}...: it names {len(sections)} sections")
    for section in sections:
        inner = tree.setdefault(section, {})
        if not isinstance(inner, dict):
            raise InputError(f"{path} cannot be set: {section} is a value, not a section")
        tree = inner
    tree[leaf] = value
