"""Commands of typer whose options are the fields of a request."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from metaray.platform.config.request import Option, Request

R = TypeVar("R", bound=Request)


def command(request: type[R], run: Callable[[R], None], **fixed: str) -> Callable[..., None]:
    """A function that typer makes a command of: its parameters are the options of ``request``.

    Args:
        request: what the command line is to give.
        run: what is done with it; its docstring is the help of the command.
        fixed: fields that are not options.
    """

    def called(**values: Any) -> None:
        given = {name: value for name, value in values.items() if value is not None}
        run(request(**fixed, **given))

    hints = get_type_hints(request)
    called.__doc__ = run.__doc__
    called.__signature__ = Signature(  # type: ignore[attr-defined]
        [_parameter(name, hints[name], one) for name, one in request.options()]
    )
    return called


def _parameter(name: str, hint: Any, one: Option) -> Parameter:
    shown: dict[str, Any] = {"help": one.help, "metavar": one.metavar, "envvar": one.variable}
    info = (
        typer.Argument(**shown)
        if one.flag is None
        else typer.Option(one.flag, min=one.least, **shown)
    )
    return Parameter(
        name,
        Parameter.KEYWORD_ONLY,
        default=Parameter.empty if one.required else None,
        annotation=Annotated[hint, info],
    )
