"""One sentence for what is wrong in settings."""

from __future__ import annotations

from difflib import get_close_matches
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from metaray.algorithms.open_registry import SectionRegistry, not_one_of
from metaray.platform.config.other_words import our_word
from metaray.platform.config.values import toml_value


def known_keys(model: type[BaseModel]) -> list[str]:
    """Every path that a config may hold, over all methods."""
    keys: set[str] = set()
    for section, field in model.model_fields.items():
        models = _models_of(field)
        keys.update(f"{section}.{name}" for one in models for name in one.model_fields)
        if not models:
            keys.add(section)
    return sorted(keys)


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """The models that a field may hold; none for a plain value."""
    if get_origin(annotation) in (Union, UnionType, tuple):
        return [model for part in get_args(annotation) for model in _sections(part)]
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return [annotation] if is_model else []


def _models_of(field: FieldInfo) -> list[type[BaseModel]]:
    """The models that a field may hold: those that a registry knows, if it has one."""
    registry = next((item for item in field.metadata if isinstance(item, SectionRegistry)), None)
    return list(registry.known_classes()) if registry else _sections(field.annotation)


def complaint(error: ValidationError, model: type[BaseModel]) -> str:
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
    if problem["type"] == "value_type":
        shown = toml_value(found) if isinstance(found, str | int | float) else repr(found)
        return f"{key} = {shown} {problem['msg']}"
    if problem["type"] == "literal_error":
        options = [
            o.strip(" '") for o in problem["ctx"]["expected"].replace(" or ", ",").split(",")
        ]
        return not_one_of(key, found, options)
    if problem["type"] in ("tuple_type", "list_type"):
        return f"{key} = {found!r} is not a list{_example(key)}"
    if problem["type"] == "value_error":
        sentence = str(problem["ctx"]["error"])
        # a section that stands in two places cannot say in which it is
        return (
            sentence
            if key not in ("data", "target") or f"{key}." in sentence
            else (f"{key}: {sentence}")
        )
    return f"{key} = {found!r} is not valid: {problem['msg'][0].lower()}{problem['msg'][1:]}"


_LISTS = {"data.split_ratio": "'data.split_ratio=[0.5, 0.25, 0.25]'"}


def _example(key: str) -> str:
    return f": write it as in --set {_LISTS[key]}" if key in _LISTS else ", which it must be"


def _unknown(key: str, known: list[str]) -> str:
    ours = our_word(key, known)
    if ours is not None:
        return (
            f"unknown setting {key}: here it is {ours.key}, for example {ours.key}={ours.example}"
        )
    near = get_close_matches(key, known, n=1, cutoff=0.5)
    by_leaf = [k for k in known if k.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
    suggestion = (by_leaf or near)[:1]
    hint = f"did you mean {suggestion[0]}?" if suggestion else f"keys are {', '.join(known)}"
    return f"unknown setting {key}: {hint}"
