"""``metaray embed``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metaray.algorithms.errors import InputError

EPILOG = (
    "Examples:\n\n"
    "  metaray embed runs/simclr --data folder --set data.root=photos.zip --out features/photos\n\n"
    "  metaray embed torchvision:resnet18 --weights resnet18.pth --data cub "
    "--set data.root=CUB_200_2011.tgz --out features/cub\n\n"
    "Then: metaray train --set data.name=features --set data.root=features/photos"
)


def embed(
    encoder: Annotated[
        str,
        typer.Argument(
            help="Run whose encoder computes: a folder, or a checkpoint in it; or torchvision:ARCH "
            "or timm:ARCH."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="PATH", help="New folder for the features.")],
    data: Annotated[str, typer.Option(help="Data set of images.")] = "folder",
    weights: Annotated[
        str | None,
        typer.Option(help="File with the weights of such a network; download: torchvision's own."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes; 0: this one. [as many as cores; with a GPU this one]"),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A setting of the data, such as data.root."
        ),
    ] = None,
) -> None:
    """Write the features of all images of a data set, by one pass of a frozen encoder.

    The folder is a data set of vectors: data.name=features, data.root=PATH. Images have the size
    and channels of the encoder's training unless set. Called again, it continues where it was
    stopped. The vectors are the same bits for any number of workers.
    """
    from metaray.platform.api.embedding import embed as story
    from metaray.platform.cli.output import console
    from metaray.platform.config.loading import with_overrides

    for item in overrides or []:
        if not item.startswith("data."):
            raise InputError(f"--set {item} is no setting of the data: its name begins with data.")
    settings = with_overrides({"data": {}}, overrides or [])["data"]
    name = settings.pop("name", data)
    found = story(encoder, name, out, weights=weights, workers=workers, device=device, **settings)
    console.print(
        f"{found.folder}: {found.vectors:,} vectors of {found.size} numbers in {found.classes:,} "
        f"classes, of which {found.computed:,} were computed now\nsha256 {found.sha256}"
    )
