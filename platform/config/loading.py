"""From a TOML file and ``--set`` to a resolved config, and to JSON and back.

Later layers win: class defaults, the recipe of the method or job, the file, ``--set``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from metaray.algorithms.configs import NamedSection
from metaray.algorithms.errors import InputError
from metaray.algorithms.open_registry import SectionRegistry
from metaray.algorithms.plugins import located
from metaray.algorithms.reading import decoded, read_object
from metaray.platform.config.complaints import complaint
from metaray.platform.config.schema import ExperimentConfig
from metaray.platform.config.tree import Tree, flat, get, merged, put, with_values
from metaray.platform.config.values import parse_toml, parse_value

OPEN_KEYS = (
    "method.name",
    "data.name",
    "target.name",
    "model.name",
    "job.name",
    "train.optimizer",
    "train.schedule",
)
"""settings that may name code of the user's own"""
Config = TypeVar("Config", bound=BaseModel)
Resolved = TypeVar("Resolved", bound=ExperimentConfig)
Named = TypeVar("Named", bound=NamedSection)


def resolve(model: type[Resolved], user: Tree, start: Tree | None = None) -> Resolved:
    """The config in which everything that ``user`` leaves open has its default.

    Args:
        model: the config of a kind of experiment; it knows the defaults.
        user: what the user has set, in nested tables.
        start: settings of the network that training starts from; they win over the defaults.

    Raises:
        InputError: unknown key (the nearest is named), value of the wrong type or out of range, or
            settings that exclude each other.
    """
    tree = with_values({}, model.defaults(user))
    config = validate_as(model, merged(merged(tree, start or {}), user))
    config._given = frozenset(key for key, _ in flat(user))
    config.check_given(config._given)
    return config


def fitted_to(config: Resolved, values: Mapping[str, object]) -> Resolved:
    """``config`` with ``values`` in place of defaults; what the user has set is remembered."""
    if not values:
        return config
    fitted = validate_as(type(config), with_values(config.model_dump(), values))
    fitted._given = config.given
    return fitted


def override(config: Config, overrides: Iterable[str]) -> Config:
    """``config`` with ``key=value`` overrides, and nothing else changed."""
    return validate_as(type(config), with_overrides(config.model_dump(), overrides))


def validate_as(model: type[Config], tree: Tree) -> Config:
    """A config from nested dicts, with one sentence for what is wrong in them."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise InputError(complaint(error, model)) from None


def validate_section(registry: SectionRegistry[Named], tree: Tree) -> Named:
    """A section with a name, such as that of a network, from the settings in it."""
    try:
        return registry.validate(tree)
    except ValidationError as error:
        raise InputError(complaint(error, registry.base)) from None


def read_config(model: type[Config], path: Path) -> Config:
    """The settings in a run's ``config.json``.

    Raises:
        InputError: the file is not one that metaray wrote.
    """
    tree = {key: value for key, value in read_config_tree(path).items() if key != "versions"}
    return validate_as(model, as_meant(model, tree))


def as_meant(model: type[BaseModel], tree: Tree) -> Tree:
    """Settings that a file of ours holds, with what an older version meant where it has none."""
    if not issubclass(model, ExperimentConfig):
        return tree
    return merged(with_values({}, model.before_it_was_there), tree)


def read_config_tree(path: Path) -> Tree:
    """The content of a run's ``config.json``, not validated; InputError as of ``read_config``."""
    return read_object(path, f"{path} is not the config of a run", "restore it or begin a new one")


def read_versions(path: Path) -> dict[str, str]:
    """The versions of packages in a run's ``config.json``; InputError as of ``read_config``."""
    versions = read_config_tree(path).get("versions")
    found = versions if isinstance(versions, dict) else {}
    return {str(key): str(value) for key, value in found.items()}


def changed_keys(before: BaseModel, after: BaseModel) -> list[str]:
    """Paths of the settings in which two configs differ."""
    old, new = dict(flat(before.model_dump())), dict(flat(after.model_dump()))
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def check_changes(before: BaseModel, after: BaseModel, allowed: tuple[str, ...], verb: str) -> None:
    """Raise InputError where a setting differs that does not begin with one of ``allowed``."""
    for key in changed_keys(before, after):
        if not key.startswith(allowed):
            raise InputError(
                f"{key} cannot be changed when a run is {verb}, since its parameters come from the "
                "old value: start a new run"
            )


_LINE = re.compile(r"at line (\d+)")
_BARE_TEXT = re.compile(r"\s*([\w.\"'-]+)\s*=\s*([A-Za-z~/.][^\"'\[{#]*?)\s*(#.*)?")


def _unquoted(text: str, error: ValueError) -> str:
    """How to write the line of a TOML file whose text lacks its quotes; empty for other lines."""
    place = _LINE.search(str(error))
    lines = text.splitlines()
    if place is None or int(place.group(1)) > len(lines):
        return ""
    line = _BARE_TEXT.fullmatch(lines[int(place.group(1)) - 1])
    return f'; text needs quotes: {line.group(1)} = "{line.group(2)}"' if line else ""


def read_toml(file: Path) -> Tree:
    """The tables of a TOML file. Plug-ins beside it are named by the path of their file.

    The string ``null`` is no value.

    Raises:
        InputError: it cannot be read or is not TOML.
    """
    text = ""
    try:
        text = decoded(file.read_bytes())
        tree = parse_toml(text)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{file} is not valid TOML: {error}{_unquoted(text, error)}") from None
    for path in OPEN_KEYS:
        name = get(tree, path, None)
        if isinstance(name, str):
            put(tree, path, located(name, file.absolute().parent))
    callbacks = get(tree, "monitoring.callbacks", None)
    if isinstance(callbacks, list):
        here = file.absolute().parent
        found = [located(name, here) if isinstance(name, str) else name for name in callbacks]
        put(tree, "monitoring.callbacks", found)
    return tree


def with_overrides(tree: Tree, overrides: Iterable[str]) -> Tree:
    """``tree`` with ``key=value`` settings on top.

    Raises:
        InputError: one has another form.
    """
    result = merged({}, tree)
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set takes key=value, got {item!r}: for example --set task.shots=5")
        put(result, key.strip(), parse_value(text.strip()))
    return result
