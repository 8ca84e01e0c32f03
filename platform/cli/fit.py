"""``metaray fit``."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Annotated

import typer

from metaray.platform.common.terminal import waiting

EPILOG = (
    "Examples:\n\n"
    "  metaray fit photos\n\n"
    "  metaray fit photos.zip --time 1800 --out runs/photos\n\n"
    "  metaray fit photos --set data.image_size=32 --set task.shots=1\n\n"
    "Then: metaray predict --run runs/photos --support few --query new"
)


def fit(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Folder, or zip, with one folder of pictures per class; or a CSV of path, label."
        ),
    ],
    time: Annotated[
        float,
        typer.Option(help="About how many seconds the command may take, test and report included."),
    ] = 300.0,
    out: Annotated[
        str | None,
        typer.Option(metavar="PLACE", help="New folder for the run [runs, a name with the time]."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Choose one setting yourself."),
    ] = None,
) -> None:
    """Train a model on a folder of pictures, with settings that the folder decides.

    Says what it found, and which split, network, method and episodes it chose and why. What it
    trains learns new classes from a few pictures (`metaray predict`). Ctrl-C stops with a
    checkpoint; `metaray train --resume` continues. The settings are in the run as fit.toml.
    """
    from metaray.platform.cli.output import console, print_result

    began = monotonic()
    with waiting(console, "looking at the folder"):
        from metaray.platform.api import fitting
        from metaray.platform.api.runs import name_of
        from metaray.platform.callbacks.callback_list import CallbackList
        from metaray.platform.callbacks.terminal import Terminal
        from metaray.platform.run.directory import fresh_place

        sentences: list[str] = []
        config = fitting.settings_of(folder, time, overrides or [], sentences.append)
    for sentence in sentences:
        console.print(sentence)
    place = out or fresh_place(name_of(config))
    summary = fitting.train(config, place, CallbackList([Terminal(console, "training")]))
    print_result(summary, place)
    if advice := fitting.few_steps(summary, config):
        console.print(advice)
    console.print(fitting.done_sentence(monotonic() - began, place))
