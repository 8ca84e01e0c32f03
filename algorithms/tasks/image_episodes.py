"""Few-shot classification episodes from a prepared image data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.episode_shape import Split
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.changed_copies import changed_copies
from metaray.algorithms.tasks.channels import converted
from metaray.algorithms.tasks.class_episodes import ClassEpisodes
from metaray.algorithms.tasks.content import Images

Rotations = Literal["none", "train", "all"]
TestRotations = Literal["none", "classes"]


@dataclass(frozen=True)
class ImageEpisodes(ClassEpisodes):
    """Episodes over an ImageStore. With rotations a class counts as four, one per quarter turn.

    The turn belongs to the class, so it is the same for its support and its query images, and all
    four stay in the split of the class they come from. Two turns of one character may meet in an
    episode, as two classes.

    Pixels are float in [0, 1] and not normalised by channel: the networks begin with a convolution
    under batch norm, which undoes any such scaling, and a test on another data set then needs no
    statistics of the first.

    With ``augment`` each image of training is shifted by up to an eighth of its size (the border
    is mirrored) and flipped with chance 1/2, by the random stream of its episode or batch.
    ``channels`` converts: grey is repeated, colour becomes its luma (ITU-R BT.601).

    ``test_rotations`` says for validation and test, in place of ``rotations``, whether a class
    counts as four.
    """

    things: ClassVar[str] = "images"

    rotations: Rotations = "none"
    augment: bool = False
    channels: Literal[1, 3] | None = None
    test_rotations: TestRotations | None = None

    def __post_init__(self) -> None:
        _, height, width = self.input_shape
        if self.ever_turned and height != width:
            key = "data" if self.rotations != "none" else "evaluate"
            raise InputError(
                f"rotations by quarter turns need square images, got {height} x {width}: "
                f"set {key}.rotations = none"
            )

    @property
    def ever_turned(self) -> bool:
        """Whether the classes of any split are seen at quarter turns."""
        return self.rotations != "none" or self.test_rotations == "classes"

    @property
    @override
    def input_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``."""
        stored, height, width = self.store.header.image_shape
        return self.channels or stored, height, width

    @override
    def turns(self, split: Split) -> int:
        if split != "train" and self.test_rotations is not None:
            return 4 if self.test_rotations == "classes" else 1
        return 4 if self.rotations == "all" or self.rotations == split else 1

    @override
    def _seen_at(self, turns: int, stored: Images) -> Images:
        return _TURNED[turns](stored)

    @override
    def _inputs(self, rng: Generator, split: Split, stored: Images) -> Tensor:
        """Augmented if they are for training, with the channels that were asked for."""
        x = unit_range(stored)
        if self.augment and split == "train":
            x = _augmented(rng, x)
        return converted(x, self.input_shape[0])

    @override
    def _changed(self, rng: Generator, x: Tensor) -> Tensor:
        return changed_copies(rng, x)


_TURNED: Sequence[Callable[[Images], Images]] = (
    lambda x: x,
    lambda x: x.swapaxes(-2, -1)[..., ::-1, :],
    lambda x: x[..., ::-1, ::-1],
    lambda x: x.swapaxes(-2, -1)[..., ::-1],
)
"""``np.rot90`` for 0 to 3 turns, without its checks, which take longer than to copy a few images"""


def _augmented(rng: Generator, x: Tensor) -> Tensor:
    """Each of ``x`` ``[n, C, H, W]`` shifted and flipped."""
    n, _, height, width = x.shape
    by_y, by_x = height // 8, width // 8
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (by_y, by_y), (by_x, by_x)), mode="reflect")
    tops, lefts = rng.integers(2 * by_y + 1, size=n), rng.integers(2 * by_x + 1, size=n)
    flips = rng.integers(2, size=n)
    out = np.empty(tuple(x.shape), np.float32)
    for i, (top, left, flip) in enumerate(zip(tops, lefts, flips, strict=True)):
        seen = padded[i, :, top : top + height, left : left + width]
        out[i] = seen[..., ::-1] if flip else seen
    return torch.from_numpy(out)


def unit_range(pixels: Images) -> Tensor:
    """Bytes as float32 in [0, 1]."""
    return torch.from_numpy(np.divide(pixels, np.float32(255), dtype=np.float32))
