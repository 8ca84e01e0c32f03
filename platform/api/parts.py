"""Methods, networks and data sets as values: a name and the settings that were given.

A builder such as ``MAML`` takes the settings of its config class as keyword arguments. It keeps
only those that were given, so that the others can have the published value for the data. Signature
and docstring come from the config class: no setting is written down twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typing_extensions import override

from metaray.algorithms.errors import InputError

Settings = Mapping[str, Any]


class Part:
    """One section of the settings of a run."""

    def __init__(self, name: str, /, **settings: Any) -> None:
        self.name = name
        self.settings = {k: str(v) if isinstance(v, Path) else v for k, v in settings.items()}

    def tree(self) -> dict[str, Any]:
        """The section as nested settings."""
        return {"name": self.name, **self.settings}

    @override
    def __repr__(self) -> str:
        given = (f"{key}={value!r}" for key, value in self.settings.items())
        return f"{type(self).__name__}({', '.join([repr(self.name), *given])})"


class Keywords:
    """The keyword arguments of a builder: the fields of config classes."""

    def __init__(self, *configs: type[BaseModel], first: Mapping[str, str] | None = None) -> None:
        """``first`` names and describes the argument that may be given without its name."""
        self._first = dict(first or {})
        self._fields: dict[str, FieldInfo] = {
            key: found
            for config in configs
            for key, found in config.model_fields.items()
            if key != "name" and key not in self._first
        }

    def check(self, shown: str, settings: Settings) -> None:
        """Raise InputError for a setting that does not exist; the nearest one is named."""
        known = [*self._first, *self._fields]
        for key in settings:
            if key not in known:
                near = get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"settings are {', '.join(known)}"
                raise InputError(f"{shown} has no setting {key}: {hint}")

    def describe(self, build: Callable[..., Any], name: str, summary: str) -> None:
        """Give ``build`` the name, signature and docstring that ``help`` and completion show."""
        build.__name__ = build.__qualname__ = name
        parameters = [
            Parameter(key, Parameter.POSITIONAL_ONLY, default=None) for key in self._first
        ] + [
            Parameter(key, Parameter.KEYWORD_ONLY, default=PUBLISHED, annotation=found.annotation)
            for key, found in self._fields.items()
        ]
        build.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        lines = [f"    {key}: {meaning}" for key, meaning in self._first.items()]
        for key, found in self._fields.items():
            meaning = " ".join((found.description or "").split())
            lines.append(f"    {key}: {meaning} (default {found.default!r}, unless published)")
        build.__doc__ = "\n".join([summary, "", "Args:", *lines])


class _Published:
    """Shown in a signature as a default that depends on method and data."""

    @override
    def __repr__(self) -> str:
        return "<published>"


PUBLISHED = _Published()
