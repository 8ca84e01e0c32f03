"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set one setting, as often as you like: --set seed=1. Wins over the file.",
    ),
]
Address = Annotated[
    str,
    typer.Option(
        help="Where to compute: local (a Ray of its own, ended with the command), auto (the Ray "
        "that was started on this machine), HOST:PORT or ray://HOST:PORT."
    ),
]
