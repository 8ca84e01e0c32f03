"""What learns best from few labels over a frozen encoder: pictures, features, comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import user_path
from metaray.algorithms.tasks.embedding_record import EmbeddingRecord
from metaray.algorithms.tasks.folder_survey import Survey, survey
from metaray.platform.common.formatting import plural
from metaray.platform.compare.directory import CompareDirectory
from metaray.platform.compare.make_plan import make_plan, named_entries
from metaray.platform.compare.plan import Plan
from metaray.platform.config.loading import with_overrides
from metaray.platform.config.tree import Tree
from metaray.platform.config.values import set_value
from metaray.platform.experiment.comparison import Budget
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.own_pictures import (
    copies_of,
    divided,
    found_in,
    split_of,
)
from metaray.platform.run.directory import fresh_place

METHODS_TRIED = {
    "nearest_mean": "head",
    "logistic": "head",
    "ridge": "head",
    "lda": "head",
    "caml": "in-context learning",
    "protonet": "meta-training",
    "protomaml": "meta-training",
    "baseline": "fine-tuning",
}
"""by default, and what each stands for: a head on the features as they are, a transformer that
reads them with their labels, a network on them that is meta-trained, or one that is trained as a
classifier and whose last layer is fine-tuned"""
_MOST_WAYS = 5
_MOST_QUERIES = 15


_TRAINING = {
    "train.outer_steps": 1_000_000,
    "train.schedule": "constant",
    "train.validate_every": 50,
    "train.validate_episodes": 100,
    "train.checkpoint_every": 50,
    "train.patience": 20,
}
"""training ends with its time, or when validation gets no better"""


@dataclass(frozen=True, kw_only=True)
class ChoiceOptions:
    """What is asked."""

    folder: Path
    """with a folder of pictures for each class, or a zip of one"""
    encoder: str
    """a run, ``torchvision:ARCH`` or ``timm:ARCH``"""
    weights: str | None
    """file of such a network"""
    methods: Sequence[str]
    shots: Sequence[int]
    """labels per class"""
    seconds: float
    """of training, for each method that is trained"""
    episodes: int
    """of the test, at each number of labels"""
    workers: int | None
    """processes that embed; None: as many as cores"""
    device: str
    """that embeds"""
    overrides: Sequence[str]
    """``KEY=VALUE``; those of ``train`` and ``model`` are for the methods that are trained"""


def make_choice(
    options: ChoiceOptions, out: str | Path | None, console: Console, address: str
) -> Path:
    """Embed the pictures and compare the methods, or continue that; the folder.

    Args:
        options: what is asked.
        out: new folder, or one in which the same was begun; None: a name with the time in ``runs``.
        console: shows what was found and the progress.
        address: of a Ray cluster, or ``local``.

    Raises:
        InputError: there are too few classes or pictures, an option is wrong, or ``out`` holds
            something else.
        Stopped: it was interrupted; the same call continues.
    """
    from metaray.platform.compare import compare as comparing
    from metaray.platform.inference.embedding import embed

    found, place = survey(options.folder), user_path(out or fresh_place("choose"))
    own, others = _of_images(options.overrides)
    budget, shots = Budget.of(seconds=options.seconds), _possible_shots(found, options.shots)
    entries = _entries(place / "features", found, shots, options, others)
    for sentence in found_in(found):
        console.print(sentence)
    for k in sorted(set(options.shots) - set(shots)):
        console.print(
            f"{plural(k, 'label')} per class are left out: the smallest class has too few"
        )
    embedded = embed(
        options.encoder,
        {"name": "folder", **_images(options.folder, found, console.print), **own},
        place / "features",
        weights=options.weights,
        workers=options.workers,
        device=options.device,
    )
    for sentence in _warnings(embedded.folder):
        console.print(sentence)
    plan = make_plan(
        entries,
        budget=budget,
        num_seeds=1,
        shots=shots,
        ways=[_ways(found)],
        curve_episodes=options.episodes,
    )
    compared, launch = comparison_folder(place), comparing.LaunchOptions(address)
    if not CompareDirectory(compared).plan.is_file():
        comparing.compare(plan, compared, launch, console)
    elif _is_same(Plan.read(CompareDirectory(compared).plan), plan):
        comparing.resume(compared, launch, console)
    else:
        raise InputError(
            f"{place} holds a choice with other methods or settings: give another --out, or the "
            "same settings to continue it"
        )
    return place


def comparison_folder(folder: Path) -> Path:
    """Where the comparison lies in the folder of a choice."""
    return folder / "compare"


def _of_images(overrides: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Those of ``overrides`` that say how pictures are read, and the others."""
    of_images = [
        one for one in overrides if one.startswith("data.") and not one.startswith("data.centre=")
    ]
    settings: dict[str, Any] = with_overrides({"data": {}}, of_images)["data"]
    return settings, [one for one in overrides if one not in of_images]


def _images(root: Path, found: Survey, notify: Callable[[str], None]) -> dict[str, Any]:
    """Settings of the images: classes are held out as `metaray fit` does it."""
    settings: dict[str, Any] = {"root": str(root.absolute())}
    for chosen in (split_of(found), *copies_of(found)):
        notify(chosen.reason)
        settings |= {key.removeprefix("data."): value for key, value in chosen.settings.items()}
    return settings


def _warnings(features: Path) -> Iterator[str]:
    record = EmbeddingRecord.read(features)
    if record.encoder.get("trained_on_sha256") == record.source["content_sha256"]:
        yield (
            "the encoder was trained on these pictures, so its test classes may be no new ones: "
            "trust these accuracies only if they were held out there too"
        )


def _possible_shots(found: Survey, asked: Sequence[int]) -> list[int]:
    """The numbers of labels that leave a picture of the smallest class to predict."""
    if not asked:
        raise InputError("name one number of labels per class or more, such as 1,5")
    fewest = min(found.counts.values())
    possible = sorted(k for k in set(asked) if 0 < k < fewest)
    if not possible:
        raise InputError(
            f"the smallest class has {plural(fewest, 'picture')}, which is too few for "
            f"{' or '.join(map(str, sorted(asked)))} labels per class and one picture to predict: "
            "add pictures, or ask for fewer labels"
        )
    return possible


def _ways(found: Survey) -> int:
    """Of the test: as many as the classes that are held out allow, five at most."""
    _, val, test = divided(len(found.counts))
    return min(_MOST_WAYS, val, test)


def _entries(
    features: Path,
    found: Survey,
    shots: Sequence[int],
    options: ChoiceOptions,
    overrides: Sequence[str],
) -> list[tuple[str, Tree]]:
    """The methods by name, with settings that are checked; training has the middle of ``shots``."""
    if not options.methods:
        raise InputError(f"name one method or more, such as {next(iter(METHODS_TRIED))}")
    ways, train = _ways(found), divided(len(found.counts))[0]
    common = {
        "data.name": "features",
        "data.root": str(features.absolute()),
        "data.split": "source",
        "task.ways": ways,
        "task.shots": shots[len(shots) // 2],
        "task.queries": min(_MOST_QUERIES, min(found.counts.values()) - shots[-1]),
        "evaluate.num_episodes": options.episodes,
        "evaluate.batch_norm": "inductive",  # as when the model is used
    }
    entries = []
    for name in options.methods:
        ((_, tree),) = named_entries([], name, [])
        method, settings, given = META.resolve(tree).method, common, list(overrides)
        if method.of_frozen_features:
            given = [one for one in given if not one.startswith(("train.", "model."))]
        else:
            settings = settings | _TRAINING
            if not method.fixed_head:
                settings = settings | {"task.train_ways": min(2 * ways, train)}
        sets = [f"{key}={set_value(value)}" for key, value in settings.items()]
        entries += named_entries([], name, [*sets, *given])
    for _, tree in entries:
        META.resolve(tree)
    return entries


def _is_same(one: Plan, other: Plan) -> bool:
    return all(
        getattr(one, key) == getattr(other, key) for key in ("entries", "seeds", "budget", "curves")
    )
