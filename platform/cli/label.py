"""``metaray label``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EPILOG = (
    "Examples:\n\n"
    "  metaray label photos --budget 40 --encoder runs/simclr --html photos.html\n\n"
    "  metaray label photos --budget 40 --encoder torchvision:resnet18 --weights resnet18.pth\n\n"
    "Then fill in photos/labels.csv, and:\n\n"
    "  metaray predict --run runs/simclr --support photos/labels.csv --query photos"
)


def label(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures without labels.")],
    budget: Annotated[int, typer.Option(min=1, help="How many pictures you will label.")],
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Whose features are compared: a run, torchvision:ARCH or timm:ARCH; for typical "
            "pictures."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="File with the weights of such a network; download: torchvision's own."),
    ] = None,
    choose: Annotated[
        str, typer.Option(help="typical: of many clusters of features; random: all are as likely.")
    ] = "typical",
    seed: Annotated[int, typer.Option(min=0, help="Of the clusters, or of chance.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="List of path and label, for you to fill in [labels.csv in the folder]."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Page that shows the pictures.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Choose the pictures of a folder that are worth labelling.

    Features are divided into as many clusters as you will label pictures, and the most typical
    picture of each is chosen (TypiClust, Hacohen et al. 2022). Called again, the command keeps the
    list with your labels, and adds pictures that lie far from those in it.
    """
    from typing import cast

    from metaray.algorithms.errors import InputError
    from metaray.platform.cli.output import console, counting
    from metaray.platform.common.formatting import plural
    from metaray.platform.inference.labelling import Choice, choose_pictures

    if choose not in ("typical", "random"):
        raise InputError(f"--choose is {choose}, and is typical or random")
    with counting("embedding") as started:
        chosen = choose_pictures(
            folder,
            budget,
            encoder=encoder,
            weights=weights,
            choice=cast(Choice, choose),
            seed=seed,
            out=out,
            html=html,
            device=device,
            started=started,
        )
    for sentence in chosen.unread:
        console.print(f"left out: {sentence}")
    kept = f"; {plural(chosen.kept, 'line')} were there and are kept" if chosen.kept else ""
    console.print(f"{chosen.file}: {plural(len(chosen.new), 'picture')} to label{kept}")
    if html is not None:
        console.print(f"page: {html}")
