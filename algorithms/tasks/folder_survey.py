"""What a folder of pictures holds, without decoding all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.dataset import missing
from metaray.algorithms.tasks.decoding import decode
from metaray.algorithms.tasks.folder_layout import read_layout
from metaray.algorithms.tasks.image_files import upright
from metaray.algorithms.tasks.limits import ReadLimits
from metaray.algorithms.tasks.picture_list import open_tree

_SAMPLE = 200  # pictures that are decoded
_GREY = 4  # difference of channels, of 255, up to which a pixel counts as grey


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What was found."""

    counts: Mapping[str, int]
    """pictures of each class"""
    left_out: Sequence[str]
    """sentences about files that are not read"""
    copies: int
    """files that occur earlier, byte for byte"""
    unread: Sequence[str]
    """sentences about pictures of the sample that cannot be decoded"""
    smallest_side: int
    """pixels of the shorter side, the smallest of the sample"""
    median_side: int
    """the median"""
    largest_side: int
    """the largest"""
    grey: bool
    """whether no picture of the sample has colour"""

    @property
    def num_pictures(self) -> int:
        """Of all classes."""
        return sum(self.counts.values())


def survey(root: Path) -> Survey:
    """Look at a folder of class folders, a zip of one, or a CSV file of pictures and labels.

    Raises:
        InputError: there are no pictures in class folders, or none of the sample can be decoded.
    """
    needs = (
        "give a folder, or a zip, with one folder of pictures per class, or a CSV of path and label"
    )
    if not root.exists():
        raise missing("pictures", root, needs)
    files = open_tree(root)
    try:
        sizes = files.sizes()
        layout = read_layout(sizes)
        names = [name for paths in layout.classes.values() for name in paths]
        if not names:
            raise missing("pictures in folders", root, needs)
        sides, coloured, unread = [], False, []
        for name in _sample(names):
            try:
                image = decode(
                    files.read(name), name, ReadLimits.from_environment(), upright, "remove it"
                )
            except InputError as error:
                unread.append(str(error))
                continue
            sides.append(min(image.size))
            coloured = coloured or _has_colour(image)
        if not sides:
            raise InputError(f"none of the pictures of {root} can be read; the first: {unread[0]}")
        return Survey(
            counts={name: len(paths) for name, paths in sorted(layout.classes.items())},
            left_out=layout.sentences(),
            copies=_copies(names, sizes, files.read),
            unread=unread,
            smallest_side=min(sides),
            median_side=round(median(sides)),
            largest_side=max(sides),
            grey=not coloured,
        )
    finally:
        files.close()


def _sample(names: Sequence[str]) -> Sequence[str]:
    """Evenly spread over all, so that each class has its share."""
    places = np.unique(np.linspace(0, len(names) - 1, _SAMPLE).round().astype(int))
    return [names[place] for place in places]


def _has_colour(image: Image.Image) -> bool:
    small = image.copy()
    small.thumbnail((64, 64))
    pixels = np.asarray(small, np.int16)
    return bool((pixels.max(-1) - pixels.min(-1)).mean() > _GREY)


def _copies(names: Sequence[str], sizes: Mapping[str, int], read: Callable[[str], bytes]) -> int:
    """Files whose content came before; only files of equal size are read."""
    by_size: dict[int, list[str]] = {}
    for name in names:
        by_size.setdefault(sizes[name], []).append(name)
    copies = 0
    for group in by_size.values():
        if len(group) > 1:
            copies += len(group) - len({sha256(read(name)).digest() for name in group})
    return copies
