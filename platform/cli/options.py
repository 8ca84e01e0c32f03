"""Commands of typer whose options are the fields of a request."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Annotated, Any, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand
from typing_extensions import override

from metaray.platform.config.other_words import option_hint
from metaray.platform.config.request import Option, Request

R = TypeVar("R", bound=Request)


class Command(TyperCommand):
    """A command that says what an option of other tools is called here."""

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            name = getattr(error, "option_name", None)  # of typer's class, which is not public
            if type(error).__name__ != "NoSuchOption" or not isinstance(name, str):
                raise
            _, _, words = ctx.command_path.partition(" ")  # without the name of the program
            if hint := option_hint(name, f"metaray {words}"):
                error.message = f"No such option: {name}; {hint}"  # type: ignore[attr-defined]
                error.possibilities = None  # type: ignore[attr-defined]
            raise


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
