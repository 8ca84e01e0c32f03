"""From a TOML file and ``--set`` to a resolved config, and to JSON and back.

Later layers win: class defaults, the recipe of the paper, the file, ``--set``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from metaray.algorithms.configs import NamedSection
from metaray.algorithms.errors import InputError
from metaray.algorithms.open_registry import SectionRegistry, not_one_of
from metaray.algorithms.plugins import is_outside, located
from metaray.algorithms.recipes.lookup import paper_defaults
from metaray.algorithms.registry import METHODS
from metaray.platform.config.schema import RunConfig
from metaray.platform.config.values import parse_toml, parse_value

Tree = dict[str, Any]
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
Named = TypeVar("Named", bound=NamedSection)


def resolve(user: Tree, start: Tree) -> RunConfig:
    """The config in which everything that ``user`` leaves open has the paper's value.

    Args:
        user: what the user has set, in nested tables.
        start: settings of the network that training starts from; they win over the paper's.

    Raises:
        InputError: unknown key (the nearest is named), value of the wrong type or out of range, or
            settings that exclude each other.
    """
    default = RunConfig()
    method = get(user, "method.name", default.method.name)
    data = get(user, "data.name", default.data.name)
    shape = [get(user, f"task.{key}", getattr(default.task, key)) for key in ("ways", "shots")]
    tree: Tree = {"method": {"name": method}}
    if all(isinstance(n, int) for n in shape):
        own_network = is_outside(str(get(user, "model.name", "")))
        for path, value in _method_defaults(method, data, *shape).items():
            if not (own_network and path.startswith("model.")):  # those are of our networks
                put(tree, path, value)
    return validate(merged(merged(tree, start), user))


def _method_defaults(method: Any, data: str, ways: int, shots: int) -> Mapping[str, Any]:
    """The settings of the paper, or those that a plug-in likes to have."""
    if not isinstance(method, str) or method in METHODS.builtin:
        return paper_defaults(method, data, ways, shots) if method in METHODS.builtin else {}
    return METHODS[located(method)].defaults


def override(config: Config, overrides: Iterable[str]) -> Config:
    """``config`` with ``key=value`` overrides, and nothing else changed."""
    return validate_as(type(config), with_overrides(config.model_dump(), overrides))


def validate(tree: Tree) -> RunConfig:
    """The config of a run from nested dicts."""
    return validate_as(RunConfig, tree)


def validate_as(model: type[Config], tree: Tree) -> Config:
    """A config from nested dicts, with one sentence for whatever is wrong in them."""
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


def read_run_config(path: Path) -> RunConfig:
    """The settings in the ``config.json`` of a meta-training run; see ``read_config``."""
    return read_config(RunConfig, path)


def read_config(model: type[Config], path: Path) -> Config:
    """The settings in a run's ``config.json``.

    Raises:
        InputError: the file is not one that metaray wrote.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        settings = {key: value for key, value in tree.items() if key != "versions"}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path} is not the config of a run ({error}): restore it or start anew"
        ) from None
    return validate_as(model, settings)


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


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dicts as ``("a.b", value)``."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def known_keys(model: type[BaseModel] = RunConfig) -> list[str]:
    """Every path that a config may hold, over all methods."""
    keys: set[str] = set()
    for section, field in model.model_fields.items():
        models = _models_of(field)
        keys.update(f"{section}.{name}" for one in models for name in one.model_fields)
        if not models:
            keys.add(section)
    return sorted(keys)


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """The models that a field may hold, be it several; none for a plain value."""
    if get_origin(annotation) in (Union, UnionType, tuple):
        return [model for part in get_args(annotation) for model in _sections(part)]
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return [annotation] if is_model else []


def _models_of(field: FieldInfo) -> list[type[BaseModel]]:
    """The models that a field may hold: those that a registry knows, if it has one."""
    registry = next((item for item in field.metadata if isinstance(item, SectionRegistry)), None)
    return list(registry.known_classes()) if registry else _sections(field.annotation)


def read_toml(file: Path) -> Tree:
    """The tables of a TOML file. Plug-ins beside it are named by the path of their file.

    The string ``null`` is no value.

    Raises:
        InputError: it cannot be read or is not TOML.
    """
    try:
        tree = parse_toml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{file} is not valid TOML: {error}") from None
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


def with_values(tree: Tree, values: Mapping[str, Any]) -> Tree:
    """``tree`` with values by path, such as ``{"train.meta_lr": 0.01}``, on top."""
    result = merged({}, tree)
    for path, value in values.items():
        put(result, path, value)
    return result


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
    for section in sections:
        inner = tree.setdefault(section, {})
        if not isinstance(inner, dict):
            raise InputError(f"{path} cannot be set: {section} is a value, not a section")
        tree = inner
    tree[leaf] = value


def complaint(error: ValidationError, model: type[BaseModel] = RunConfig) -> str:
    """The first problem of a validation of ``model``, as a person would say it."""
    problem = error.errors()[0]
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    found = problem["input"]
    if problem["type"] == "extra_forbidden":
        known = known_keys(model)
        if key in known:
            return f"unknown setting {key}: not one of this {location[0]}.name, leave it out"
        return _unknown(key, known)
    if problem["type"] == "literal_error":
        options = [
            o.strip(" '") for o in problem["ctx"]["expected"].replace(" or ", ",").split(",")
        ]
        return not_one_of(key, found, options)
    if problem["type"] == "value_error":
        sentence = str(problem["ctx"]["error"])
        # a section that stands in two places cannot say in which it is
        return (
            sentence
            if key not in ("data", "target") or f"{key}." in sentence
            else (f"{key}: {sentence}")
        )
    return f"{key} = {found!r} is not valid: {problem['msg'][0].lower()}{problem['msg'][1:]}"


def _unknown(key: str, known: list[str]) -> str:
    near = get_close_matches(key, known, n=1, cutoff=0.5)
    by_leaf = [k for k in known if k.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
    suggestion = (by_leaf or near)[:1]
    hint = f"did you mean {suggestion[0]}?" if suggestion else f"keys are {', '.join(known)}"
    return f"unknown setting {key}: {hint}"
