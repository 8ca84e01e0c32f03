"""``metaray choose``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from metaray.platform.api.choosing import MethodChoice

EPILOG = (
    "Examples:\n\n"
    "  metaray choose photos --encoder runs/simclr\n\n"
    "  metaray choose photos.zip --encoder timm:tf_efficientnet_lite0 --weights lite0.pth "
    "--set data.image_size=128\n\n"
    "  metaray choose photos --encoder torchvision:resnet18 --weights resnet18.pth --shots 1,5 "
    "--methods nearest_mean,logistic,protonet --out runs/choice\n\n"
    "Then: metaray predict --run runs/choice/compare/runs/logistic/seed0 --support few --query new"
)


def choose(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Folder, or zip, with one folder of pictures per class; or a CSV of path, label."
        ),
    ],
    encoder: Annotated[
        str,
        typer.Option(help="What computes the features: a run, torchvision:ARCH or timm:ARCH."),
    ],
    weights: Annotated[
        str | None,
        typer.Option(help="File with the weights of such a network; download: torchvision's own."),
    ] = None,
    shots: Annotated[str, typer.Option(help="Labels per class, like 1,5,20.")] = "1,5,20",
    methods: Annotated[
        str | None, typer.Option(help="Methods to try, like logistic,protonet [heads and others].")
    ] = None,
    time: Annotated[
        float, typer.Option(help="Seconds of training, for each method that is trained.")
    ] = 60.0,
    episodes: Annotated[
        int, typer.Option(min=2, help="Test episodes at each number of labels.")
    ] = 600,
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="New folder, or one to continue [runs/choose-TIME]."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that embed; 0: this one. [as many as cores]"),
    ] = None,
    device: Annotated[str, typer.Option(help="That embeds: auto, cpu, cuda or mps.")] = "auto",
    address: Annotated[
        str, typer.Option(help="Ray cluster; local: a new one on this machine.")
    ] = "local",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Choose one setting yourself."),
    ] = None,
) -> None:
    """Find out what learns best from few labels on your pictures, over a frozen encoder.

    Computes the features of all pictures once. Then tests heads on them, and networks that are
    meta-trained or fine-tuned on them, with 1, 5 and 20 labels per class, on the same episodes of
    classes that were held out. Prints a table and the best run for each number of labels, which
    `metaray predict`, `serve` and `export` take. Run it again with the same --out to continue.
    """
    from metaray.algorithms.paths import user_path
    from metaray.platform.api.choice import METHODS_TRIED, ChoiceOptions, make_choice
    from metaray.platform.api.choosing import MethodChoice
    from metaray.platform.cli.output import console
    from metaray.platform.compare.request import parse_numbers

    options = ChoiceOptions(
        folder=user_path(folder), encoder=encoder, weights=weights,
        methods=list(METHODS_TRIED) if methods is None else [m.strip() for m in methods.split(",")],
        shots=parse_numbers("--shots", shots) or [], seconds=time, episodes=episodes,
        workers=workers, device=device, overrides=overrides or [],
    )  # fmt: skip
    choice = MethodChoice(make_choice(options, out, console, address))
    console.print(_table(choice))
    for sentence in _advice(choice):
        console.print(sentence)


def _table(choice: MethodChoice) -> Table:
    """Accuracy by method and number of labels, the best of each number in bold."""
    from rich.table import Table
    from rich.text import Text

    from metaray.platform.api.choice import METHODS_TRIED
    from metaray.platform.common.formatting import margin, plural

    best = choice.best
    table = Table(box=None, pad_edge=False)
    for heading in ("method", "", *(f"{plural(k, 'label')} %" for k in best)):
        table.add_column(heading, justify="right" if "%" in heading else "left", no_wrap=True)
    for name, points in choice.accuracies.items():
        cells = []
        for k in best:
            point = points.get(k)
            text = (
                "–"
                if point is None
                else f"{100 * point.accuracy:.1f} {margin(point.ci95, digits=1)}"
            )
            cells.append(Text(text, style="bold" if best[k] == name else ""))
        table.add_row(name, METHODS_TRIED.get(name, ""), *cells)
    return table


def _advice(choice: MethodChoice) -> Iterator[str]:
    """The best of each number of labels, what is not clearly worse, and what to do next."""
    from metaray.platform.common.formatting import plural

    found = choice.accuracies
    for k, name in choice.best.items():
        top = found[name][k]
        near = [
            other
            for other, points in found.items()
            if other != name and k in points
            and top.accuracy - points[k].accuracy < top.ci95 + points[k].ci95
        ]  # fmt: skip
        also = f"; not clearly worse: {', '.join(near)}" if near else ""
        yield f"with {plural(k, 'label')} per class: {name}{also}"
    entries = choice.comparison.summary["entries"]
    widest = max(entry["classes_ci95"] or 0.0 for entry in entries)
    classes = choice.run(next(iter(choice.best))).summary.get("num_test_classes")
    if widest and classes:
        yield (
            f"the test has {plural(classes, 'class')}: with others, accuracies may differ by "
            f"{100 * widest:.0f} points"
        )
    yield "each was chosen by the test that it is shown with, so its accuracy is a little too high"
    yield f"page: {choice.comparison.folder / 'compare.html'}"
    for name in dict.fromkeys(choice.best.values()):
        k = next(k for k, best in choice.best.items() if best == name)
        yield f"next: metaray predict --run {choice.run(k).folder} --support FOLDER --query FOLDER"
