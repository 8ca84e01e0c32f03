"""Which of many pictures to label: a list to fill in, and a page that shows them."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.atomic import write_text
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.picture_list import listed
from metaray.algorithms.tasks.preprocessing import Preprocessing
from metaray.algorithms.transfer.typical import random_examples, typical_examples
from metaray.platform.common.formatting import plural
from metaray.platform.config.schema import ComputeConfig
from metaray.platform.inference.encoders import (
    EncoderSource,
    computing,
    encoder_source,
    features_of,
)
from metaray.platform.inference.folders import query_pictures
from metaray.platform.inference.page import Shown, data_uri
from metaray.platform.inference.pictures import PictureFile, opened
from metaray.platform.report.page_writer import write_page, writing
from metaray.platform.training.pretrained import statistics_batches

Choice = Literal["typical", "random"]

_BATCH = 64
_SIDE = 160  # pixels of a picture on the page, at most
_AGAIN = "choose the pictures again"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The result of a choice."""

    file: Path
    """the list, with the columns path and label"""
    new: list[str]
    """pictures that are new in it, the most useful first"""
    kept: int
    """pictures that it had before"""
    unread: list[str]
    """sentences about pictures that cannot be read"""


def choose_pictures(
    folder: Path,
    budget: int,
    *,
    encoder: str | None = None,
    weights: str | None = None,
    choice: Choice = "typical",
    seed: int = 0,
    out: Path | None = None,
    html: Path | None = None,
    device: str = "auto",
    started: Callable[[int], Callable[[int], None]] = lambda total: lambda count: None,
) -> Chosen:
    """Choose ``budget`` pictures of ``folder`` to label, and write them to a list.

    A list that is there already is kept: its pictures count as labelled, and further ones are
    chosen.

    Args:
        folder: of pictures, in folders or not.
        budget: how many.
        encoder: whose features are compared: a run, ``torchvision:ARCH`` or ``timm:ARCH``.
        weights: of such a network.
        choice: typical pictures of many clusters, or pictures at random.
        seed: of clusters or of chance.
        out: the list; None: ``labels.csv`` in ``folder``.
        html: a file for the page.
        device: that computes.
        started: gets the number of pictures, and returns what is told how many more are done.

    Raises:
        InputError: there are too few pictures, or no encoder, or a file cannot be written.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: unpack a zip first, since the list names files")
    out = out or folder / "labels.csv"
    if out.suffix.lower() != ".csv":
        raise InputError(f"--out {out} does not end in .csv: choose another name")
    source = _source(encoder, weights, choice)
    before = listed(out) if out.exists() else []
    with query_pictures(folder, ()) as found:
        pictures = Pictures(found.pictures, folder, out)
        taken = {i for i, name in enumerate(pictures.names) if name in dict(before)}
        pictures.check_room(budget, len(taken))
        done = started(len(found.pictures))
        if source is None:
            chosen = _at_random(pictures, budget, taken, seed)
        else:
            features, rows = _features(source, pictures, device, done)
            pictures.check_room(budget, len(taken.intersection(rows)))
            known = [row for row, index in enumerate(rows) if index in taken]
            chosen = [rows[row] for row in typical_examples(features, budget, known, seed)]
        names = [pictures.names[i] for i in chosen]
        if html is not None:
            shown = [(n, pictures.opened(i)) for n, i in zip(names, chosen, strict=True)]
            _write_page(html, out, shown, at_random=source is None)
    _write(out, [*before, *((name, "") for name in names)])
    return Chosen(file=out, new=names, kept=len(before), unread=list(pictures.unread.values()))


class Pictures:
    """Files by number, with the sentences about those that cannot be read.

    Args:
        files: below ``folder``.
        folder: where they are.
        out: the list, from whose folder on they are named.
    """

    def __init__(self, files: Sequence[PictureFile], folder: Path, out: Path) -> None:
        self.files, self.folder, self.out = files, folder, out
        paths = (os.path.relpath(folder / file.name, out.parent) for file in files)
        self.names = [Path(path).as_posix() for path in paths]
        self.unread: dict[int, str] = {}

    def opened(self, number: int) -> Image.Image | None:
        """The picture, in mode ``RGB``; None where it cannot be read."""
        try:
            return opened(self.files[number])
        except InputError as error:
            self.unread[number] = str(error)
            return None

    def inputs(self, numbers: Iterable[int], preprocessing: Preprocessing) -> dict[int, Tensor]:
        """The inputs ``[C, H, W]`` of those that can be read."""
        found = {number: self.opened(number) for number in numbers}
        return {
            number: preprocessing.inputs(preprocessing.stored(picture)[None])[0]
            for number, picture in found.items()
            if picture is not None
        }

    def check_room(self, budget: int, taken: int) -> None:
        """Raise InputError where fewer than ``budget`` pictures are left."""
        left = len(self.files) - len(self.unread) - taken
        if budget > left:
            raise InputError(
                f"{self.folder} has {plural(left, 'picture')} that can be read and are not in "
                f"{self.out.name}, fewer than --budget {budget}: lower it"
            )


def _at_random(pictures: Pictures, budget: int, taken: set[int], seed: int) -> list[int]:
    """Numbers of pictures that can be read."""
    count = len(pictures.files)
    order = random_examples(count, count - len(taken), taken, seed)
    readable = (number for number in order if pictures.opened(number) is not None)
    chosen = list(islice(readable, budget))
    pictures.check_room(budget, len(taken))
    return chosen


def _source(encoder: str | None, weights: str | None, choice: Choice) -> EncoderSource | None:
    """None where nothing is compared."""
    if choice == "random":
        if encoder is not None or weights is not None:
            given = "--encoder" if encoder is not None else "--weights"
            raise InputError(f"{given} has no effect on --choose random: leave it out")
        return None
    if encoder is None:
        raise InputError(
            "typical pictures are found by the features of an encoder: name a run, or a network "
            "such as torchvision:resnet18, with --encoder; or take --choose random"
        )
    return encoder_source(encoder, weights)


def _features(
    source: EncoderSource, pictures: Pictures, device: str, done: Callable[[int], None]
) -> tuple[NDArray[Any], list[int]]:
    """Features ``[n, F]`` of the pictures that can be read, and their numbers."""
    preprocessing, count = source.preprocessing, len(pictures.files)
    some = (
        torch.stack(list(inputs.values()))
        for rows in statistics_batches(count)
        if (inputs := pictures.inputs(rows, preprocessing))
    )
    features, numbers = [], list[int]()
    with computing(ComputeConfig(count=0, device=device)) as on:
        network = source.read(preprocessing.input_shape, some)
        backbone = network.build()
        state = State(*({n: t.to(on) for n, t in part.items()} for part in network.state))
        for first in range(0, count, _BATCH):
            batch = range(first, min(count, first + _BATCH))
            inputs = pictures.inputs(batch, preprocessing)
            if inputs:
                x = torch.stack(list(inputs.values())).to(on)
                features.append(features_of(backbone, state, x))
            numbers += inputs
            done(len(batch))
    if not features:
        raise InputError(f"none of the pictures can be read; the first: {pictures.unread[0]}")
    found: NDArray[Any] = torch.cat(features).numpy()
    return found, numbers


def _write(out: Path, rows: list[tuple[str, str]]) -> None:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows([("path", "label"), *rows])
    with writing("the list", out.parent, _AGAIN):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, lines.getvalue())


def _write_page(
    html: Path, out: Path, pictures: Iterable[tuple[str, Image.Image | None]], at_random: bool
) -> None:
    shown = [Shown(image=_thumbnail(picture), words=name) for name, picture in pictures if picture]
    with writing("the page", html.parent, _AGAIN):
        html.parent.mkdir(parents=True, exist_ok=True)
        write_page(
            html,
            __package__ or "",
            "labelling.html.jinja",
            title=f"{plural(len(shown), 'picture')} to label",
            list_name=out.name,
            at_random=at_random,
            pictures=shown,
        )


def _thumbnail(picture: Image.Image) -> str:
    picture = picture.copy()
    picture.thumbnail((_SIDE, _SIDE))
    return data_uri(picture)
