"""Tables of names that others may add to. No torch; nothing is imported before it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from pydantic_core import core_schema
from typing_extensions import override

from metaray.algorithms.configs import NamedSection
from metaray.algorithms.errors import InputError
from metaray.algorithms.plugins import (
    is_outside,
    load,
    load_entry_point,
    located,
    offered,
)

S = TypeVar("S", bound=NamedSection)


class Registry:
    """Names that a setting may have: our own, those of installed packages, and ``module:Name``.

    Args:
        key: the setting, such as ``train.schedule``.
        group: the entry-point group in which packages offer more.
        builtin: our own names, each with the ``module:Name`` that it stands for.
    """

    def __init__(self, key: str, group: str, builtin: Mapping[str, str]) -> None:
        self.key = key
        self.group = group
        self.builtin = builtin

    def names(self) -> list[str]:
        """Our own names in the order of the table, then those of installed packages."""
        return list(dict.fromkeys([*self.builtin, *sorted(offered(self.group))]))

    def target(self, name: str) -> Any:
        """What ``name`` stands for.

        Raises:
            InputError: nothing (the nearest name is given), or it cannot be imported.
        """
        if name in self.builtin:
            return load(self.builtin[name])
        if is_outside(str(name)):
            return load(name)
        entry = offered(self.group).get(name)
        if entry is None:
            raise InputError(not_one_of(self.key, name, self.names()))
        return load_entry_point(entry)


class SectionRegistry(Registry, Mapping[str, type[S]], Generic[S]):
    """Names that come with settings: a mapping from name to config class.

    It also annotates the field of a config: ``method: Annotated[MethodSection, METHODS]`` takes
    any section that the registry knows, and validates its keys by its class.

    What a name stands for is a config class that says where its ``implementation`` is, or the
    implementation, whose ``config_class`` is its config class (``base`` where it has none).

    Args:
        key: the setting, such as ``method.name``.
        group: the entry-point group in which packages offer more.
        builtin: our own names, each with the ``module:Name`` that it stands for.
        base: what all these config classes are.
        own_class: whether each of our own has a config class; else ``base`` is that of them all.
    """

    def __init__(
        self,
        key: str,
        group: str,
        builtin: Mapping[str, str],
        base: type[S],
        own_class: bool = True,
    ) -> None:
        super().__init__(key, group, builtin)
        self.base = base
        self._own_class = own_class
        self._used: dict[str, type[S]] = {}

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    @override
    def __len__(self) -> int:
        return len(self.names())

    @override
    def __contains__(self, name: object) -> bool:
        return name in self.names()

    @override
    def __getitem__(self, name: str) -> type[S]:
        if name in self.builtin and not self._own_class:
            return self.base
        target = self.target(name)
        section = target if self._is_section(target) else getattr(target, "config_class", self.base)
        if not self._is_section(section):
            raise InputError(
                f"{self.key} = {name!r}: the config class {section!r} is no {self.base.__name__}"
            )
        self._used[name] = section
        return section

    def implementation(self, name: str) -> Any:
        """The class or function behind ``name``; InputError as of ``target``."""
        target = self.target(name)
        if self._is_section(target):
            return load(target.implementation)
        return target

    def known_classes(self) -> list[type[S]]:
        """The config classes of all names and of the files in use; broken ones are left out."""
        found = dict(self._used)
        for name in self:
            with suppress(InputError):
                found[name] = self[name]
        return list(dict.fromkeys(found.values()))

    def validate(self, value: Any) -> S:
        """The section of ``value``: nested settings with a ``name``, or a section already.

        Raises:
            InputError: unknown name.
            ValidationError: settings that its config class does not take.
        """
        if isinstance(value, self.base):
            return value
        if not isinstance(value, Mapping):
            section = self.key.partition(".")[0]
            raise InputError(
                f"{section} = {value!r} is no section of settings: write [{section}] and below it "
                "name = ..."
            )
        field = self.base.model_fields["name"]
        name = value.get("name", None if field.is_required() else field.default)
        if not isinstance(name, str):
            raise InputError(not_one_of(self.key, name, self.names()))
        name = located(name)
        return self[name].model_validate({**value, "name": name})

    def _is_section(self, target: Any) -> bool:
        return isinstance(target, type) and issubclass(target, self.base)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate, serialization=core_schema.simple_ser_schema("any")
        )


def not_one_of(key: str, found: Any, options: list[str]) -> str:
    """The sentence about a value that is none of ``options``."""
    near = get_close_matches(str(found), options, n=1)
    hint = f", did you mean {near[0]}?" if near else ""
    return f"{key} = {found!r} is not one of {', '.join(options)}{hint}"
