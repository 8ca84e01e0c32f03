"""A command line that is to become a job, as the request that it makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from metaray.algorithms.errors import InputError
from metaray.platform.compare.request import CompareRequest
from metaray.platform.config.request import Request
from metaray.platform.experiment.request import REQUESTS
from metaray.platform.serve.request import ServeRequest
from metaray.platform.sweep.request import SweepRequest

_OTHERS: tuple[type[Request], ...] = (SweepRequest, CompareRequest, ServeRequest)
_REQUESTS = {request.command: request for request in REQUESTS + _OTHERS}


def parse_command(arguments: Sequence[str], app: Any) -> Request:
    """What ``arguments``, the words after ``metaray``, ask ``app`` for, click's form of them all.

    Raises:
        InputError: it is no command that can be a job.
        UsageError: its options are wrong (click's, which says so by itself).
    """
    if not arguments or arguments[0] not in _REQUESTS:
        found = f"{arguments[0]!r} is none" if arguments else "nothing was given"
        raise InputError(
            f"what can be submitted is {', '.join(_REQUESTS)} ({found}): for example "
            "metaray submit -- train --set seed=1"
        )
    command, rest, names = app, list(arguments), []
    context = app.context_class(app, info_name="metaray")
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, rest or [""])
        names.append(name)
        parent, context = context, command.context_class(command, info_name=name, parent=context)
    given = _given(command.make_context(names[-1], rest, parent=parent))
    request = _REQUESTS[names[0]]
    if request.subcommand is not None:
        given[request.subcommand] = names[1]
    return request(**given)


def _given(context: Any) -> dict[str, Any]:
    """What was written on the command line, not what is the default or in the environment."""
    return {
        name: value
        for name, value in context.params.items()
        if context.get_parameter_source(name).name == "COMMANDLINE"
    }
