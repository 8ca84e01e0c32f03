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
from metaray.platform.config.values import set_value
from metaray.platform.experiment.comparison import Budget
from metaray.platform.experiment.meta import META
from metaray.platform.experiment.own_pictures import divided, found_in
from metaray.platform.run.directory import fresh_place

METHODS_TRIED = {
    "nearest_mean": "head",
    "logistic": "head",
    "ridge": "head",
    "lda": "head",
    "protonet": "meta-training",
    "protomaml": "meta-training",
    "baseline": "fine-tuning",
}
"""by default, and what each stands for: a head on the features as they are, a network on them that
is meta-trained, or one that is trained as a classifier and whose last layer is fine-tuned"""
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
    """``KEY=VALUE``"""


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
    for sentence in found_in(found):
        console.print(sentence)
    own, others = _of_images(options.overrides)
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
    plan = _plan(embedded.folder, found, options, others, console.print)
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
    """Settings of the images: classes are held out for validation and for the test."""
    train, val, test = divided(len(found.counts))
    notify(
        f"{train} classes to train on, {val} for validation, {test} for the test, chosen at random"
    )
    shares = [round(part / len(found.counts), 4) for part in (train, val)]
    settings: dict[str, Any] = {
        "root": str(root.absolute()),
        "split": "random",
        "split_ratio": (*shares, round(1 - sum(shares), 4)),
    }
    if found.copies:
        settings["drop_duplicates"] = True
    return settings


def _warnings(features: Path) -> Iterator[str]:
    record = EmbeddingRecord.read(features)
    if record.encoder.get("trained_on_sha256") == record.source["content_sha256"]:
        yield (
            "the encoder was trained on these pictures, so its test classes may be no new ones: "
            "trust these accuracies only if they were held out there too"
        )


def _plan(
    features: Path,
    found: Survey,
    options: ChoiceOptions,
    overrides: Sequence[str],
    notify: Callable[[str], None],
) -> Plan:
    """The comparison: all methods, tested at each number of labels."""
    train, val, test = divided(len(found.counts))
    fewest = min(found.counts.values())
    possible = sorted(k for k in set(options.shots) if 0 < k < fewest)
    if not possible:
        raise InputError(
            f"the smallest class has {plural(fewest, 'picture')}, which is too few for "
            f"{' or '.join(map(str, sorted(options.shots)))} labels per class and one picture to "
            "predict: add pictures, or ask for fewer labels with --shots"
        )
    for k in sorted(set(options.shots) - set(possible)):
        notify(f"{plural(k, 'label')} per class are left out: the smallest class has {fewest}")
    ways, middle = min(_MOST_WAYS, val, test), possible[len(possible) // 2]
    queries = min(_MOST_QUERIES, fewest - possible[-1])
    common = {
        "data.name": "features",
        "data.root": str(features.absolute()),
        "data.split": "source",
        "task.ways": ways,
        "task.shots": middle,
        "task.queries": queries,
        "evaluate.num_episodes": options.episodes,
        "evaluate.batch_norm": "inductive",  # as when the model is used
    }
    entries = []
    for name in options.methods:
        method = META.load(None, [f"method.name={name}"]).method
        own = common if method.of_frozen_features else common | _TRAINING
        if not (method.fixed_head or method.of_frozen_features):
            own = own | {"task.train_ways": min(2 * ways, train)}
        sets = [f"{key}={set_value(value)}" for key, value in own.items()]
        entries += named_entries([], name, [*sets, *overrides])
    return make_plan(
        entries,
        budget=Budget.of(seconds=options.seconds),
        num_seeds=1,
        shots=possible,
        ways=[ways],
        curve_episodes=options.episodes,
    )


def _is_same(one: Plan, other: Plan) -> bool:
    return all(
        getattr(one, key) == getattr(other, key) for key in ("entries", "seeds", "budget", "curves")
    )
