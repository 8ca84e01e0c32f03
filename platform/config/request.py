"""The options of a command, written once: a request is a dataclass whose fields are the options.

The command line is made from these fields. The check before a job is submitted, and the words that
travel to the cluster, read the same fields. No pydantic: ``metaray --help`` imports this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from metaray.algorithms.errors import InputError

Role = Literal["setting", "config", "file", "new run", "earlier run", "state"]
Nodes = Sequence[Mapping[str, float]]
"""resources of the nodes of a cluster"""
_KEY = "option"


@dataclass(frozen=True, kw_only=True)
class Option:
    """How one field of a request is given on the command line."""

    help: str
    flag: str | None = None
    """such as ``--num-trials``; None: a positional argument"""
    metavar: str | None = None
    least: float | None = None
    """smallest number that it takes"""
    variable: str | None = None
    """environment variable that is read where the command line does not give it"""
    role: Role = "setting"
    """files travel with a job (a config is one of settings); runs and the state of a server are
    elsewhere on a cluster"""
    when_resuming: bool = False
    """whether it may be given together with --resume"""
    required: bool = False


def option(help: str, flag: str, **others: Any) -> Any:
    """A field that is an option; None where it is not given."""
    return field(default=None, metadata={_KEY: Option(help=help, flag=flag, **others)})


def argument(help: str, **others: Any) -> Any:
    """A field that is a positional argument; None where it is not given."""
    return field(default=None, metadata={_KEY: Option(help=help, **others)})


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a command is asked to do."""

    command: ClassVar[str]
    """first word of the command"""
    subcommand: ClassVar[str | None] = None
    """the field that is the second word, where the command has one"""
    address: str | None = option(
        "Where to compute: local (a new Ray, which ends with the command), auto (the Ray that "
        "was started on this machine), HOST:PORT or ray://HOST:PORT [local].",
        "--address",
        when_resuming=True,
    )

    @property
    def names(self) -> list[str]:
        """The words before the options."""
        return [self.command, *([getattr(self, self.subcommand)] if self.subcommand else [])]

    @property
    def where(self) -> str:
        """The address to compute at."""
        return self.address or "local"

    @classmethod
    def options(cls) -> Iterator[tuple[str, Option]]:
        """The options by the name of their field: positional arguments first, the address last."""
        found = [(one.name, one.metadata[_KEY]) for one in fields(cls) if _KEY in one.metadata]
        yield from sorted(found, key=lambda pair: (pair[1].flag is not None, pair[0] == "address"))

    @property
    def given(self) -> dict[str, Any]:
        """The values that were given, by the name of their field."""
        values = ((name, getattr(self, name)) for name, _ in self.options())
        return {
            name: value for name, value in values if value is not False and value not in (None, [])
        }

    def given_as(self, *roles: Role) -> dict[str, Any]:
        """Those of the fields with one of these roles."""
        named = {name for name, one in self.options() if one.role in roles}
        return {name: value for name, value in self.given.items() if name in named}

    @property
    def run_name(self) -> str:
        """The last part of the place of the earlier run that it names."""
        places = [str(place) for place in self.given_as("earlier run").values()]
        return places[0].rstrip("/").rpartition("/")[2] if places else ""

    def files(self, *roles: Role) -> list[Path]:
        """The files that it names; ``roles`` as in ``given_as``."""
        given = self.given_as(*roles).values()
        return [file for one in given for file in (one if isinstance(one, list) else [one])]

    def words(self) -> list[str]:
        """The command line that asks for the same, without ``metaray``."""
        before, after = [*self.names], []
        options, given = dict(self.options()), self.given
        for name, value in given.items():
            several = [str(item) for item in (value if isinstance(value, list) else [value])]
            if (flag := options[name].flag) is None:
                after += several
            elif value is True:
                before.append(flag)
            else:
                before += [word for item in several for word in (flag, item)]
        return [*before, "--", *after] if after else before

    def check(self, nodes: Nodes) -> Iterator[str]:
        """Whether the settings are valid and ``nodes`` have room; what should be known of it.

        Raises:
            InputError: a setting is wrong.
            NoRoomError: there is no room.
        """
        return iter(())

    def check_resuming(self, what: str) -> None:
        """Raise InputError where an option would change what --resume continues."""
        options = dict(self.options())
        wrong = [
            options[name].flag or name.upper()
            for name in self.given
            if name != "resume" and not options[name].when_resuming
        ]
        if wrong:
            raise InputError(f"--resume continues {what} as it began: leave out {', '.join(wrong)}")
