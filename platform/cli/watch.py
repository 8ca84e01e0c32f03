"""``metaray watch``: look on a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metaray.algorithms.errors import InputError

EPILOG = (
    "Examples:\n\n"
    "  metaray watch runs/omniglot\n\n"
    "  metaray watch runs/sweep-maml-glyphs --once\n\n"
    "  metaray watch runs/omniglot --web --port 8000"
)


def watch(
    run: Annotated[Path, typer.Argument(help="Folder of a training, transfer job or sweep.")],
    once: Annotated[
        bool, typer.Option("--once", help="Print where it stands and end, as without a terminal.")
    ] = False,
    web: Annotated[
        bool, typer.Option("--web", help="Serve a page on this machine's loopback, until Ctrl-C.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the page [any that is free].")
    ] = None,
) -> None:
    """Look on a run while it computes: progress, curves, workers, events.

    Reads the files of the run's folder and nothing else, so that it needs no cluster, and shows
    runs that are over too. It ends when the run does.
    """
    if port is not None and not web:
        raise InputError("--port is the port of the page: give --web too")
    if once and web:
        raise InputError("--once prints and --web serves a page: leave one out")
    from metaray.platform.cli.output import console
    from metaray.platform.monitoring.watch.reader import reader_of

    reader = reader_of(run)
    if not web:
        from metaray.platform.monitoring.watch.terminal import watch as show

        show(reader, console, once)
        return
    from threading import Event

    from metaray.platform.monitoring.watch.server import serving

    with serving(reader, port or 0) as address:
        console.print(f"{address}\nwhoever has this address can look on; Ctrl-C ends it")
        Event().wait()
