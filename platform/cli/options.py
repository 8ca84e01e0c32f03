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
Out = Annotated[
    str | None,
    typer.Option(
        metavar="PLACE",
        help="New folder for the run, or s3://, gs:// or file:// URI [$METARAY_RUNS or runs, then "
        "a name with the time].",
    ),
]
Resume = Annotated[
    str | None,
    typer.Option(metavar="PLACE", help="Run to continue from its last checkpoint."),
]
Address = Annotated[
    str,
    typer.Option(
        help="Where to compute: local (a Ray of its own, ended with the command), auto (the Ray "
        "that was started on this machine), HOST:PORT or ray://HOST:PORT."
    ),
]
