"""Settings for a folder of a user's own pictures, chosen by what it holds, with the reasons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from metaray.algorithms.errors import InputError
from metaray.algorithms.registry import METHODS
from metaray.algorithms.tasks.folder_survey import Survey
from metaray.platform.common.formatting import plural

FEWEST_CLASSES = 6
_FEWEST_TO_REJECT = 10
_FEWEST_PICTURES = 2  # of a class: one to learn from, one to predict
_SIZES = (28, 32, 48, 64, 84)
_LARGEST = {"cpu": 64, "cuda": 84}  # pixels
_LARGEST_IN_SHORT_TIME = 32
_SHORT_S = 120.0
_TRAINING_SHARE = 0.8  # of the time; the rest is for preparation, test and report
_LEAST_REST_S = 15.0
_LEAST_S = 5.0
_LONG_S = 1800.0


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Some settings, and why."""

    settings: dict[str, Any]
    """by path"""
    reason: str


def found_in(survey: Survey) -> Iterator[str]:
    """What a folder holds, a sentence each."""
    counts = survey.counts
    fewest, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    each = f"{counts[fewest]:,} ({fewest}) to {counts[most]:,} ({most}) of a class"
    if counts[fewest] == counts[most]:
        each = f"{counts[most]:,} of each"
    number = f"{plural(survey.num_pictures, 'picture')} of {plural(len(counts), 'class')}"
    yield f"found {number}: {each}"
    sides = f"{survey.smallest_side} to {survey.largest_side}"
    if survey.smallest_side == survey.largest_side:
        sides = str(survey.largest_side)
    colour = "grey" if survey.grey else "in colour"
    yield f"shorter sides have {sides} pixels, and the pictures are {colour}"
    if survey.copies:
        yield f"files that are copies of others: {survey.copies:,}"
    yield from survey.left_out
    yield from (f"cannot be read: {sentence}" for sentence in survey.unread)


def chosen_for(
    survey: Survey, seconds: float, device: str, method: str = "protonet", spent_s: float = 0.0
) -> list[Chosen]:
    """The settings of a training, in the order in which they depend on one another.

    Args:
        survey: of the folder.
        seconds: that all may take.
        device: ``cpu`` or ``cuda``.
        method: that the user wants.
        spent_s: seconds that went by before, looking at the folder.

    Raises:
        InputError: there are too few classes, or a class has too few pictures.
    """
    train, val, test = divided(len(survey.counts))
    fewest = min(survey.counts, key=survey.counts.__getitem__)
    if survey.counts[fewest] < _FEWEST_PICTURES:
        raise InputError(
            f"class {fewest} has {plural(survey.counts[fewest], 'picture')}, and an episode needs "
            "two or more of each class: add some, or remove the class"
        )
    return [
        _images(survey, seconds, device),
        split_of(survey),
        _method(method),
        *_network(seconds, device),
        _episodes(survey.counts[fewest], train, min(val, test), METHODS[method].fixed_head),
        _training(seconds, spent_s),
        *copies_of(survey),
    ]


def divided(classes: int) -> tuple[int, int, int]:
    """Classes for training, validation and test; InputError where there are too few."""
    if classes < FEWEST_CLASSES:
        raise InputError(
            f"{plural(classes, 'class')} are too few to hold some out for validation and test: "
            f"give {FEWEST_CLASSES} or more, or train a classifier of these classes with metaray "
            "transfer finetune"
        )
    # three for validation are enough to leave one out, which sets the threshold of rejection
    held = max(3 if classes >= _FEWEST_TO_REJECT else 2, round(0.2 * classes))
    return classes - 2 * held, held, held


def _images(survey: Survey, seconds: float, device: str) -> Chosen:
    is_short = device == "cpu" and seconds < _SHORT_S
    largest = _LARGEST_IN_SHORT_TIME if is_short else _LARGEST[device]
    size = max(s for s in _SIZES if s == _SIZES[0] or s <= min(survey.median_side, largest))
    reason = f"the shorter side has {survey.median_side} pixels in the median"
    if survey.median_side > largest:
        slow = "make too few steps in this time" if is_short else "take long on this device"
        reason += f", and more than {largest} {slow}"
    grey = ", and no picture has colour" if survey.grey else ""
    settings: dict[str, Any] = {"data.image_size": size}
    if survey.grey:
        settings["data.channels"] = 1
    else:
        settings["data.augment"] = True
        grey = "; colour photographs are shifted and flipped at random"
    return Chosen(settings=settings, reason=reason + grey)


def split_of(survey: Survey) -> Chosen:
    """Which classes are held out; InputError where there are too few."""
    train, val, test = divided(len(survey.counts))
    total = len(survey.counts)
    shares = [round(part / total, 4) for part in (train, val)]
    return Chosen(
        settings={"data.split": "random", "data.split_ratio": [*shares, round(1 - sum(shares), 4)]},
        reason=f"{train} classes to train on, {val} for validation, {test} for the test",
    )


def _method(name: str) -> Chosen:
    reason = "it takes any number of classes later, and learns most in little time"
    return Chosen(
        settings={"method.name": name}, reason=reason if name == "protonet" else "as you say"
    )


def _network(seconds: float, device: str) -> Iterator[Chosen]:
    if device == "cpu" and seconds < _LONG_S:
        yield Chosen(
            settings={"model.width": 32},
            reason="half the channels of the papers make three times the steps in a short time",
        )


def _episodes(fewest: int, train: int, held: int, fixed_head: bool) -> Chosen:
    shots = max(1, min(5, fewest // 2))
    queries = max(1, min(10, fewest - shots))
    ways, train_ways = min(5, held, train), min(10, train)
    more = "training with more classes in an episode is harder and gives better features"
    if fixed_head:
        train_ways, more = ways, "this method trains with as many classes as it is tested with"
    return Chosen(
        settings={
            "task.ways": ways,
            "task.shots": shots,
            "task.queries": queries,
            "task.train_ways": train_ways,
            "task.train_shots": shots,
            "task.train_queries": queries,
        },
        reason=f"the smallest class has {fewest} pictures, and {held} classes are held out for "
        f"validation and for the test; {more}",
    )


def _training(seconds: float, spent_s: float) -> Chosen:
    rest_s = max(_LEAST_REST_S, (1 - _TRAINING_SHARE) * seconds)
    return Chosen(
        settings={
            "train.time_budget_s": max(_LEAST_S, round(seconds - spent_s - rest_s, 1)),
            "train.outer_steps": 1_000_000,
            "train.schedule": "constant",
            "train.meta_batch_size": 4,
            "train.shard_size": 2,
            "train.validate_every": 25,
            "train.validate_episodes": 60,
            "train.checkpoint_every": 25,
            "train.patience": 40,
            "evaluate.num_episodes": int(min(600, max(50, seconds / 3))),
            "evaluate.batch_norm": "inductive",
            "workers.count": 0,
        },
        reason="training ends with the time, or when validation does not get better; the best "
        "parameters are kept",
    )


def copies_of(survey: Survey) -> Iterator[Chosen]:
    """That copies are left out, where there are some."""
    if survey.copies:
        yield Chosen(settings={"data.drop_duplicates": True}, reason="copies make a test too easy")
