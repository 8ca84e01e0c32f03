"""Search spaces as files: ranges in TOML, or a Python function of an Optuna trial.

A table of TOML that has a ``type`` is a range; the tables around it are its path::

    [method.inner_lr]
    type = "float"
    low = 0.02
    high = 5.0
    log = true

    [train.lr_step_every]
    type = "int"
    low = 100
    high = 400
    when = { "train.schedule" = "step" }

A Python file defines ``space(trial)``, which suggests values under the names of settings.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from metaray.algorithms.errors import InputError
from metaray.platform.config.loading import read_toml
from metaray.platform.config.tree import Tree
from metaray.platform.config.values import parse_toml, toml_value
from metaray.tune_spaces.space import Choice, Dimension, Float, Int, Space, check_conditions

_KINDS: dict[str, type[Dimension]] = {"float": Float, "int": Int, "choice": Choice}

SpaceFunction = Callable[[Any], object]


def read_space(file: Path) -> Space | SpaceFunction:
    """The space in a ``.toml`` or ``.py`` file.

    Raises:
        InputError: unreadable, or not a space; the sentence says where.
    """
    if file.suffix == ".py":
        return _read_function(file)
    if file.suffix != ".toml":
        raise InputError(f"--space takes a .toml or a .py file, got {file}")
    return parse_space(read_toml(file), str(file))


def parse_space(tree: Tree, source: str) -> Space:
    """The space that nested tables describe; ``source`` names them in errors."""
    space = {path: _dimension(path, table, source) for path, table in _tables(tree, source)}
    if not space:
        raise InputError(f"{source} describes no range: see docs/sweeps.md")
    try:
        check_conditions(space)
    except ValueError as error:
        raise InputError(f"{source}: {error}") from None
    return space


def checked_space(space: Mapping[str, Any]) -> Space:
    """Ranges by path from Python, once they are known to be such as a file could hold.

    Raises:
        InputError: no range, or one that is not.
    """
    for path, dimension in space.items():
        if not isinstance(dimension, Float | Int | Choice):
            raise InputError(
                f"{path} of the space is no range: give mr.Float, mr.Int or mr.Choice, "
                f"got {dimension!r}"
            )
    return parse_space(parse_toml(space_text(dict(space))), "the space")


def space_text(space: Space) -> str:
    """``space`` as TOML that ``parse_space`` takes."""
    return "\n".join(_table(path, dimension) for path, dimension in space.items())


def _tables(tree: Tree, source: str, prefix: str = "") -> Iterator[tuple[str, Tree]]:
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if not isinstance(value, dict):
            raise InputError(f"{source}: {path} is not a table with type, low and high or options")
        if isinstance(value.get("type"), str):
            yield path, value
        else:
            yield from _tables(value, source, f"{path}.")


def _dimension(path: str, table: Tree, source: str) -> Dimension:
    settings = {key: value for key, value in table.items() if key != "type"}
    kind = _KINDS.get(table["type"])
    if kind is None:
        found = table["type"]
        raise InputError(f"{source}: {path}.type = {found!r} is not one of {', '.join(_KINDS)}")
    known = {field.name for field in fields(kind)}
    if unknown := settings.keys() - known:
        raise InputError(
            f"{source}: {path} has {', '.join(sorted(unknown))}, but a range of type "
            f"{table['type']} takes {', '.join(sorted(known))}"
        )
    if kind is Choice and isinstance(settings.get("options"), list):
        settings["options"] = tuple(settings["options"])
    if kind is Int and any(isinstance(settings.get(k), float) for k in ("low", "high")):
        raise InputError(f"{source}: {path} goes over whole numbers, so low and high must be such")
    try:
        return kind(**settings)
    except (TypeError, ValueError) as error:
        raise InputError(f"{source}: {path} is not a range: {error}") from None


def _read_function(file: Path) -> SpaceFunction:
    try:
        names = runpy.run_path(str(file))
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None
    except Exception as error:
        raise InputError(f"{file} fails with {type(error).__name__}: {error}") from error
    function = names.get("space")
    if not callable(function):
        raise InputError(f"{file} has no function space(trial) that suggests values")
    return function  # type: ignore[no-any-return]


def _table(path: str, dimension: Dimension) -> str:
    if isinstance(dimension, Choice):
        lines: list[tuple[str, Any]] = [("type", "choice"), ("options", list(dimension.options))]
    else:
        kind = "float" if isinstance(dimension, Float) else "int"
        lines = [("type", kind), ("low", dimension.low), ("high", dimension.high)]
        lines += [("log", True)] if dimension.log else []
    text = [f"[{path}]", *(f"{key} = {toml_value(value)}" for key, value in lines)]
    if dimension.when:
        pairs = ", ".join(f'"{key}" = {toml_value(value)}' for key, value in dimension.when.items())
        text.append(f"when = {{ {pairs} }}")
    return "\n".join([*text, ""])
