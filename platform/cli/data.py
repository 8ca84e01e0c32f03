"""``metaray data``: list the data sets, prepare one, look at an episode."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from metaray.algorithms.errors import InputError
from metaray.platform.common.terminal import bold, new_console

if TYPE_CHECKING:
    from metaray.algorithms.configs import DataConfig
    from metaray.algorithms.tasks.store import ImageStore

app = typer.Typer(
    help="Data sets: list them, prepare one, look at an episode.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Name = Annotated[str, typer.Argument(help="Data set: a name that `metaray data list` lists.")]
Root = Annotated[str | None, typer.Option(help="Where the raw data is.", show_default=False)]
Cache = Annotated[
    str | None,
    typer.Option(help="Folder of prepared sets [$METARAY_CACHE or ~/.cache/metaray]."),
]
SplitRule = Annotated[
    str | None, typer.Option(help="How classes are divided [the first that `list` names].")
]
ImageSize = Annotated[int | None, typer.Option(help="Pixels per side [28, 32 or 84, by data set].")]
Download = Annotated[bool, typer.Option("--download", help="Fetch missing raw data.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any other setting of the data, as often as you like: --set data.num_classes=500.",
    ),
]


@app.command("list")
def list_datasets() -> None:
    """List the data sets, their splits, and what each needs."""
    from rich.table import Table

    from metaray.algorithms.tasks.catalog import dataset_of
    from metaray.algorithms.tasks.registry import DATA_SETS
    from metaray.algorithms.tasks.splits import SPLIT_RULES

    table = Table("name", "what it is", "splits", "settings", box=None, pad_edge=False)
    needs = Table(box=None, pad_edge=False, show_header=False)
    for name in DATA_SETS:
        try:
            info = dataset_of(name)
        except InputError as error:  # of an installed package, which others should not suffer from
            table.add_row(bold(name), str(error))
            continue
        settings = ", ".join(info.settings) or "-"
        splits = ", ".join(info.splits) or "-"
        table.add_row(bold(name), info.description, splits, settings)
        needs.add_row(bold(name), info.needs or "nothing: it is made here")
    rules = Table(box=None, pad_edge=False, show_header=False)
    for rule, meaning in SPLIT_RULES.items():
        rules.add_row(bold(rule), meaning)
    console = new_console(soft_wrap=False)
    console.print(table)
    console.print("\nSplits, by which classes are divided into train, val and test:")
    console.print(rules)
    console.print("\nWhat each set needs, once:")
    console.print(needs)


@app.command(
    epilog="Examples:\n\n"
    "  metaray data prepare glyphs\n\n"
    "  metaray data prepare omniglot --root ~/omniglot --split vinyals\n\n"
    "  metaray data prepare omniglot --root ~/omniglot --download\n\n"
    "  metaray data prepare fonts --root ~/fonts\n\n"
    "  metaray data prepare folder --root ~/photos --set 'data.split_ratio=[0.5,0.25,0.25]'"
)
def prepare(
    name: Name,
    root: Root = None,
    cache: Cache = None,
    split: SplitRule = None,
    image_size: ImageSize = None,
    download: Download = False,
    overrides: Overrides = None,
    drop_duplicates: Annotated[
        bool,
        typer.Option(
            "--drop-duplicates",
            help="Leave out images that occur earlier in their class, as data.drop_duplicates=true "
            "does in training.",
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Processes that decode; 0: this one. [as many as cores, for large sets]",
        ),
    ] = None,
) -> None:
    """Make the one file that training maps into memory, and check its splits for leaks.

    A set that is there already is verified against its recorded hash. A preparation that was
    stopped continues where it was. Training prepares what it needs by itself; this command does it
    ahead of time.
    """
    from metaray.algorithms.tasks.catalog import copies_note, left_out
    from metaray.algorithms.tasks.catalog import prepare as prepare_data
    from metaray.algorithms.tasks.store import ImageStore
    from metaray.platform.callbacks.preparing import preparing
    from metaray.platform.distributed.parallel_map import decoder, default_workers

    data = _config(
        overrides or [],
        name=name, root=root, cache=cache, split=split, image_size=image_size, download=download,
        drop_duplicates=drop_duplicates,
    )  # fmt: skip
    mapper = decoder(default_workers()) if workers is None else decoder(workers, at_least=0)
    with preparing(name) as progress:
        path = prepare_data(data, progress, mapper)
    for sentence in filter(None, (*left_out(data), copies_note(data, ImageStore.open(path)))):
        typer.echo(sentence)
    _print_summary(ImageStore.open(path), data)
    made_of = ImageStore.open(path).header.made_of
    if made_of is not None:
        for sentence in made_of.left_out_sentences():
            typer.echo(sentence)
        typer.echo("\nmade of:")
        for line in made_of.attribution():
            typer.echo(f"  {line}")


@app.command(
    epilog="Examples:\n\n"
    "  metaray data sources fonts\n\n"
    "  metaray data sources emoji --root node_modules > ATTRIBUTION.txt"
)
def sources(
    name: Name,
    root: Root = None,
    cache: Cache = None,
    split: SplitRule = None,
    image_size: ImageSize = None,
    overrides: Overrides = None,
) -> None:
    """List every work that the pictures of a set are made of, with its licence.

    For sets that are made of installed packages, such as fonts and emoji.
    """
    from metaray.algorithms.tasks.catalog import prepare as prepare_data
    from metaray.algorithms.tasks.store import ImageStore
    from metaray.platform.callbacks.preparing import preparing

    given = overrides or []
    data = _config(given, name=name, root=root, cache=cache, split=split, image_size=image_size)
    with preparing(name) as progress:
        made_of = ImageStore.open(prepare_data(data, progress)).header.made_of
    if made_of is None:
        raise InputError(f"{name} is not made of installed packages: its publisher has its licence")
    for source in made_of.sources:
        typer.echo(f"{source.sentence}, pictures {source.images:,}")


@app.command(
    epilog="Examples:\n\n"
    "  metaray data show glyphs --ways 5 --shots 5 --out episode.png\n\n"
    "  metaray data show omniglot --root ~/omniglot --split-name test --index 3\n\n"
    "  metaray data show cub --root ~/CUB_200_2011.tgz --set data.bbox_crop=true"
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
    split: SplitRule = None,
    image_size: ImageSize = None,
    download: Download = False,
    overrides: Overrides = None,
) -> None:
    """Draw one episode as a contact sheet: a row per class, support left, query right."""
    from metaray.algorithms.episode_shape import EpisodeShape, Split, TaskSpec
    from metaray.algorithms.tasks.catalog import build_source
    from metaray.platform.callbacks.preparing import preparing
    from metaray.platform.distributed.parallel_map import decoder, default_workers
    from metaray.platform.report.contact_sheet import draw_episode

    if split_name not in get_args(Split):
        raise InputError(f"no split is called {split_name!r}: use train, val or test")
    data = _config(
        overrides or [],
        name=name, root=root, cache=cache, split=split, image_size=image_size, download=download,
    )  # fmt: skip
    with preparing(name) as progress:
        source = build_source(data, progress, decoder(default_workers()))
    if ways is None:
        ways = 1 if source.kind == "regression" else 5
    shape = EpisodeShape(ways=ways, shots=shots, queries=queries)
    spec = TaskSpec(split=cast(Split, split_name), index=index, seed=seed, shape=shape)
    draw_episode(source.sample(spec), source.describe(spec), out)
    typer.echo(f"{out}: episode {index} of {name} {split_name}, seed {seed}")


def _config(overrides: list[str], **values: Any) -> DataConfig:
    from metaray.platform.config.loading import validate_as, with_overrides
    from metaray.platform.config.meta import RunConfig

    for item in overrides:
        if not item.startswith("data."):
            raise InputError(f"--set {item} is no setting of the data: its name begins with data.")
    given = {key: value for key, value in values.items() if value is not None}
    # An mlp goes with every data set; the other sections have no effect here.
    tree = {"data": given, "model": {"name": "mlp"}}
    return validate_as(RunConfig, with_overrides(tree, overrides)).data


def _print_summary(store: ImageStore, data: DataConfig) -> None:
    from rich.table import Table

    from metaray.algorithms.tasks.catalog import splits_of
    from metaray.algorithms.tasks.splits import shared_between

    splits = splits_of(store, data)
    things = "images" if store.header.dtype == "uint8" else "vectors"
    table = Table("part", "classes", things, box=None, pad_edge=False)
    for part, classes in splits.items():
        turns = 4 if data.rotations in ("all", part) else 1
        images = sum(len(store.images(c)) for c in classes) * turns
        table.add_row(part, str(len(classes) * turns), str(images))
    shared = list(shared_between(store, splits))
    leaks = f"as published, with {len(shared)} {things} in two parts" if shared else "no leaks"
    typer.echo(f"{store.path}\nsha256 {store.header.sha256}\n{data.split} split, {leaks}:")
    new_console(soft_wrap=False).print(table)
