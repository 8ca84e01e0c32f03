"""``metaray reproduce``."""

from __future__ import annotations

from typing import Annotated

import typer

from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import user_path

EPILOG = (
    "Examples:\n\n"
    "  metaray reproduce\n\n"
    "  metaray reproduce metasgd-sinusoid-5 --out runs/metasgd\n\n"
    "  metaray reproduce protonet-omniglot-5way-1shot --set data.root=~/omniglot\n\n"
    "Interrupted, the same command with the same --out continues."
)


def reproduce(
    name: Annotated[
        str | None, typer.Argument(help="Row of the table; without it, the table is printed.")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE", help="Folder for the run, or of one to continue [runs/NAME]."
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set one setting, such as data.root."),
    ] = None,
    address: Annotated[
        str, typer.Option(help="Ray to compute on: local, auto, or its address.")
    ] = "local",
) -> None:
    """Train with the published schedule of a paper's result, and say whether it was reached.

    A run should land in the published interval, or within a point of the published accuracy.
    """
    from metaray.platform.cli.output import console

    if name is None:
        _print_table()
        return
    from metaray.platform.experiment.published import changed_in, published, settings_of, verdict

    row, given = published(name), overrides or []
    settings = settings_of(row, given)
    from metaray.platform.cli.runs import train_or_resume
    from metaray.platform.experiment.request import TrainRequest
    from metaray.platform.run.directory import RunDirectory, usual_place
    from metaray.platform.run.storage.remote_directory import is_uri

    place = out or usual_place(name)
    if is_uri(place):
        raise InputError(f"--out {place} is a URI, and the run is read again: give a folder")
    run = RunDirectory(user_path(place))
    if run.config.exists():
        request = TrainRequest(resume=place, overrides=given, address=address)
    else:
        request = TrainRequest(overrides=settings, out=place, address=address)
    summary = train_or_resume(request)
    console.print(verdict(row, summary, changed_in(run, row)))


def _print_table() -> None:
    from rich.table import Column, Table

    from metaray.platform.cli.output import console
    from metaray.platform.experiment.published import PUBLISHED

    name_column = Column("name", no_wrap=True)
    table = Table(name_column, "what", "published", "source", box=None, pad_edge=False)
    for name, row in PUBLISHED.items():
        table.add_row(name, row.what, row.shown(row.value), row.source)
    console.print(table)
    console.print("metaray reproduce NAME trains one of them with its published schedule.")
