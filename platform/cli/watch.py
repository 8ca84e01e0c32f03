"""``metaray watch``: watch a run live."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metaray.algorithms.errors import InputError
from metaray.platform.cli.jobs import Dashboard

if TYPE_CHECKING:
    from metaray.platform.watch.reader import RunReader, SweepReader

EPILOG = (
    "Examples:\n\n"
    "  metaray watch runs/omniglot\n\n"
    "  metaray watch train-20260301-120000-1a2b\n\n"
    "  metaray watch runs/sweep-maml-glyphs --once\n\n"
    "  metaray watch runs/omniglot --web --port 8000"
)


def watch(
    run: Annotated[
        str, typer.Argument(help="Folder of a training, transfer job or sweep; or id of a job.")
    ],
    once: Annotated[
        bool, typer.Option("--once", help="Print where it stands and end, as without a terminal.")
    ] = False,
    web: Annotated[
        bool, typer.Option("--web", help="Serve a page on this machine's loopback, until Ctrl-C.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the page [any that is free].")
    ] = None,
    address: Dashboard = None,
) -> None:
    """Watch a run live: progress, curves, workers, events.

    Reads the files of the run's folder and nothing else, so that it needs no cluster, and shows
    runs that are over too. Of a job on another machine it shows the state and the end of the log.
    It ends when the run does.
    """
    if port is not None and not web:
        raise InputError("--port is the port of the page: give --web too")
    if once and web:
        raise InputError("--once prints and --web serves a page: leave one out")
    from metaray.platform.cli.output import console
    from metaray.platform.watch.reader import reader_of

    folder = Path(run)
    if not folder.exists():
        from metaray.platform.watch.job import RemoteJob, find_job

        found = find_job(run, address, console)
        if isinstance(found, RemoteJob):
            if web:
                raise InputError(
                    f"the run directory of job {run} is not on this machine, and --web reads it: "
                    "leave out --web, or run metaray watch there"
                )
            found.watch(console, once)
            return
        folder = found
    elif address is not None:
        raise InputError(f"{run} is a folder here, for which --address has no effect: leave it out")
    reader = reader_of(folder)
    if web:
        _serve(reader, port or 0)
    else:
        from metaray.platform.watch.terminal import watch as show

        show(reader, console, once)


def _serve(reader: RunReader | SweepReader, port: int) -> None:
    from threading import Event

    from metaray.platform.cli.output import console
    from metaray.platform.watch.server import serving

    with serving(reader, port) as address:
        console.print(
            f"{address}\nAnyone with this URL can view the run. Press Ctrl-C to stop serving it."
        )
        Event().wait()
