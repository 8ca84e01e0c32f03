"""A command line that is to become a job, taken apart and put together again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metaray.algorithms.errors import InputError

COMMANDS = ("train", "sweep", "compare", "transfer", "evaluate")


@dataclass(frozen=True)
class Command:
    """A command of ours and its options, as the command line understands them."""

    names: tuple[str, ...]
    """such as ``("transfer", "finetune")``"""
    options: tuple[Any, ...]
    """the parameters of the command, as click has them"""
    values: Mapping[str, Any]
    """by the name of the option; None where it was left out"""

    @property
    def kind(self) -> str:
        """train, sweep, compare, transfer or evaluate."""
        return self.names[0]

    def words(self, values: Mapping[str, Any]) -> list[str]:
        """The command line with some values exchanged."""
        chosen = {**self.values, **values}
        before, after = list(self.names), []
        for option in self.options:
            value = chosen.get(option.name or "")
            if value is None or value == () or value == []:
                continue
            several = value if isinstance(value, (list, tuple)) else [value]
            if option.param_type_name == "option":
                for item in several:
                    before += [option.opts[0], str(item)]
            else:
                after += [str(item) for item in several]
        return [*before, "--", *after] if after else before


def parse_command(arguments: Sequence[str], app: Any) -> Command:
    """What ``arguments``, the words after ``metaray``, mean to ``app``, click's form of them all.

    Raises:
        InputError: it is no command that can be a job.
        UsageError: its options are wrong (click's, which says so by itself).
    """
    if not arguments or arguments[0] not in COMMANDS:
        found = f"{arguments[0]!r} is none" if arguments else "nothing was given"
        raise InputError(
            f"what can be submitted is {', '.join(COMMANDS)} ({found}): for example "
            "metaray submit -- train --set seed=1"
        )
    command, rest, names = app, list(arguments), []
    context = app.context_class(app, info_name="metaray")
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, rest or [""])
        names.append(name)
        parent, context = context, command.context_class(command, info_name=name, parent=context)
    parsed = command.make_context(names[-1], rest, parent=parent)
    return Command(tuple(names), tuple(command.params), _given(parsed))


def _given(context: Any) -> dict[str, Any]:
    """What was written on the command line, not what is the default or in the environment."""
    return {
        name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name).name == "COMMANDLINE"
    }


def files_of(command: Command) -> list[Path]:
    """The files of settings that it names, which must go with the job."""
    one = [command.values.get(name) for name in ("config", "space")]
    return [Path(file) for file in (*one, *(command.values.get("configs") or ())) if file]
