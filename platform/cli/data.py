"""``metaray data``: list the data sets, prepare one, look at an episode."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from metaray.algorithms.errors import InputError
from metaray.platform.preparing import preparing

if TYPE_CHECKING:
    from metaray.algorithms.configs import DataConfig
    from metaray.algorithms.tasks.store import ImageStore

app = typer.Typer(
    help="Data sets: list them, prepare one, look at an episode.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Name = Annotated[str, typer.Argument(help="Data set: glyphs, omniglot or sinusoid.")]
Root = Annotated[str | None, typer.Option(help="Folder with the raw data.", show_default=False)]
Cache = Annotated[
    str | None,
    typer.Option(help="Folder of prepared sets [$METARAY_CACHE or ~/.cache/metaray]."),
]
SplitRule = Annotated[
    str, typer.Option(help="How classes are divided: alphabet, vinyals or random.")
]
SplitSeed = Annotated[int, typer.Option(help="Seed of the random split.")]
ImageSize = Annotated[int, typer.Option(help="Pixels per side.")]
NumClasses = Annotated[int, typer.Option(help="Glyphs only: characters to draw.")]
Rotations = Annotated[
    str, typer.Option(help="Quarter turns as further classes, in which splits: none, train or all.")
]
Download = Annotated[bool, typer.Option("--download", help="Fetch missing raw data.")]


@app.command("list")
def list_datasets() -> None:
    """List the data sets, their splits, and what each needs."""
    from rich.console import Console
    from rich.table import Table

    from metaray.algorithms.tasks.catalog import DATASETS

    table = Table("name", "what it is", "splits", "needs", box=None, pad_edge=False)
    for name, info in DATASETS.items():
        needs = "--root or --download, once" if info.needs_root else "nothing"
        table.add_row(f"[bold]{name}[/]", info.description, ", ".join(info.splits) or "-", needs)
    Console().print(table)


@app.command(
    epilog="Examples:\n\n"
    "  metaray data prepare glyphs\n\n"
    "  metaray data prepare omniglot --root ~/omniglot --split vinyals\n\n"
    "  metaray data prepare omniglot --root ~/omniglot --download"
)
def prepare(
    name: Name,
    root: Root = None,
    cache: Cache = None,
    split: SplitRule = "alphabet",
    split_seed: SplitSeed = 0,
    image_size: ImageSize = 28,
    num_classes: NumClasses = 2000,
    rotations: Rotations = "none",
    download: Download = False,
) -> None:
    """Make the one file that training maps into memory, and check its splits for leaks.

    A set that is there already is verified against its recorded hash. Training prepares what it
    needs by itself; this command does it ahead of time.
    """
    from metaray.algorithms.tasks.catalog import prepare as prepare_data
    from metaray.algorithms.tasks.store import ImageStore

    data = _config(
        name=name, root=root, cache=cache, split=split, split_seed=split_seed,
        image_size=image_size, num_classes=num_classes, rotations=rotations, download=download,
    )  # fmt: skip
    with preparing(name) as progress:
        path = prepare_data(data, progress)
    _print_summary(ImageStore.open(path), data)


@app.command(
    epilog="Examples:\n\n"
    "  metaray data show glyphs --ways 5 --shots 5 --out episode.png\n\n"
    "  metaray data show omniglot --root ~/omniglot --rotations all --split-name test --index 3"
)
def show(
    name: Name,
    out: Annotated[Path, typer.Option(help="PNG file to write.")] = Path("episode.png"),
    ways: Annotated[int | None, typer.Option(min=1, help="Classes [5; sinusoid: 1].")] = None,
    shots: Annotated[int, typer.Option(min=1, help="Support examples per class.")] = 1,
    queries: Annotated[int, typer.Option(min=1, help="Query examples per class.")] = 15,
    split_name: Annotated[str, typer.Option(help="Which part: train, val or test.")] = "train",
    index: Annotated[int, typer.Option(min=0, help="Which episode.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the episodes.")] = 0,
    root: Root = None,
    cache: Cache = None,
    split: SplitRule = "alphabet",
    split_seed: SplitSeed = 0,
    image_size: ImageSize = 28,
    num_classes: NumClasses = 2000,
    rotations: Rotations = "none",
    download: Download = False,
) -> None:
    """Draw one episode as a contact sheet: a row per class, support left, query right."""
    from metaray.algorithms.episode_shape import EpisodeShape, Split, TaskSpec
    from metaray.algorithms.tasks.catalog import build_source
    from metaray.platform.contact_sheet import draw_episode

    if split_name not in get_args(Split):
        raise InputError(f"no split is called {split_name!r}: use train, val or test")
    data = _config(
        name=name, root=root, cache=cache, split=split, split_seed=split_seed,
        image_size=image_size, num_classes=num_classes, rotations=rotations, download=download,
    )  # fmt: skip
    with preparing(name) as progress:
        source = build_source(data, progress)
    if ways is None:
        ways = 1 if source.kind == "regression" else 5
    shape = EpisodeShape(ways=ways, shots=shots, queries=queries)
    spec = TaskSpec(split=cast(Split, split_name), index=index, seed=seed, shape=shape)
    draw_episode(source.sample(spec), source.describe(spec), out)
    typer.echo(f"{out}: episode {index} of {name} {split_name}, seed {seed}")


def _config(**values: Any) -> DataConfig:
    from metaray.platform.config_io import validate

    # An mlp goes with every data set; the other sections are of no matter here.
    return validate({"data": values, "model": {"name": "mlp"}}).data


def _print_summary(store: ImageStore, data: DataConfig) -> None:
    from rich.console import Console
    from rich.table import Table

    from metaray.algorithms.tasks.splits import split_classes

    table = Table("part", "classes", "images", box=None, pad_edge=False)
    for part, classes in split_classes(store, data.split, data.split_seed).items():
        turns = 4 if data.rotations in ("all", part) else 1
        images = sum(len(store.images(c)) for c in classes) * turns
        table.add_row(part, str(len(classes) * turns), str(images))
    typer.echo(f"{store.path}\nsha256 {store.header.sha256}\n{data.split} split, no leaks:")
    Console().print(table)
