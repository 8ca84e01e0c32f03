"""Pictures as people have them, as inputs of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.decoding import decode
from metaray.algorithms.tasks.image_files import upright
from metaray.algorithms.tasks.limits import ReadLimits
from metaray.algorithms.tasks.preprocessing import Appearance, Preprocessing

_REMEDY = "save it again as JPEG or PNG, or leave it out"


@dataclass(frozen=True)
class PictureFile:
    """An image file that is read when it is needed."""

    name: str
    """for people"""
    content: Callable[[], bytes]


Picture = str | Path | bytes | PictureFile | Image.Image | NDArray[Any] | Tensor
"""A path, the content of a file, an image of Pillow, an array ``[H, W]`` or ``[H, W, 3 or 4]``, or
a prepared tensor ``[C, H, W]``"""


class PictureReader:
    """Reads pictures in the way of a training, and notes what they look like."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing
        self.limits = ReadLimits.from_environment()
        self._seen: list[Appearance] = []

    @property
    def appearance(self) -> Appearance | None:
        """The mean over all pictures so far; None without any that was not prepared."""
        if not self._seen:
            return None
        return Appearance(
            ground=sum(one.ground for one in self._seen) / len(self._seen),
            colour=sum(one.colour for one in self._seen) / len(self._seen),
        )

    def read(self, pictures: Iterable[Picture]) -> Tensor:
        """Inputs, float32 ``[n, C, H, W]`` in [0, 1].

        Raises:
            InputError: one cannot be read; it is named.
        """
        inputs = [self.read_one(picture, number) for number, picture in enumerate(pictures, 1)]
        if not inputs:
            return torch.empty(0, *self.preprocessing.input_shape)
        return torch.stack(inputs)

    def read_one(self, picture: Picture, number: int = 1) -> Tensor:
        """The input ``[C, H, W]`` of one picture, which messages call by its ``number``.

        Raises:
            InputError: it cannot be read.
        """
        if isinstance(picture, Tensor):
            return self._prepared(picture, number)
        stored = self.preprocessing.stored(self._colours(picture, number))[None]
        self._seen.append(Appearance.of(stored))
        return self.preprocessing.inputs(stored)[0]

    def _colours(self, picture: Picture, number: int) -> Image.Image:
        """In mode ``RGB``."""
        if isinstance(picture, str | Path):
            path = Path(picture).expanduser()
            picture = PictureFile(str(path), lambda: _content(path, self.limits))
        elif isinstance(picture, bytes):
            content = picture
            picture = PictureFile(f"picture {number}", lambda: content)
        if isinstance(picture, PictureFile):
            return opened(picture, self.limits)
        if isinstance(picture, Image.Image):
            return upright(picture)
        if isinstance(picture, np.ndarray):
            return upright(Image.fromarray(_bytes(picture, number)))
        raise InputError(
            f"picture {number} is of type {type(picture).__name__}: give paths, images of Pillow, "
            "arrays of numpy or tensors of torch"
        )

    def _prepared(self, x: Tensor, number: int) -> Tensor:
        shape = self.preprocessing.input_shape
        if tuple(x.shape) != shape or not x.is_floating_point():
            raise InputError(
                f"tensor {number} is {str(x.dtype).removeprefix('torch.')} {list(x.shape)}, and "
                f"tensors are taken as prepared inputs, floating {list(shape)}: give an array or "
                "an image, which metaray prepares"
            )
        if not bool(((x >= 0) & (x <= 1)).all()):
            raise InputError(f"tensor {number} has values outside of 0 to 1: scale it to 0 to 1")
        return x.detach().to("cpu", torch.float32)


def opened(file: PictureFile, limits: ReadLimits | None = None) -> Image.Image:
    """The picture of a file, upright and in mode ``RGB``; InputError where it cannot be read."""
    limits = limits or ReadLimits.from_environment()
    return decode(file.content(), file.name, limits, upright, _REMEDY)


def _bytes(array: NDArray[Any], number: int) -> NDArray[np.uint8]:
    """An array of bytes ``[H, W]`` or ``[H, W, 3 or 4]``."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise InputError(
            f"array {number} has the shape {list(array.shape)}: give [height, width] or "
            "[height, width, 3]"
        )
    if not array.size:
        raise InputError(f"array {number} is empty: leave it out")
    if array.dtype == bool:
        return np.where(array, np.uint8(255), np.uint8(0))
    if array.dtype == np.uint8:
        return cast(NDArray[np.uint8], array)
    if np.issubdtype(array.dtype, np.floating):
        if np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1:
            return np.asarray(np.rint(array * 255), np.uint8)
        raise InputError(
            f"array {number} has floating values outside of 0 to 1: divide them, or give bytes"
        )
    raise InputError(
        f"array {number} is of {array.dtype}: give bytes (uint8), or floating numbers from 0 to 1"
    )


def _content(path: Path, limits: ReadLimits) -> bytes:
    try:
        limits.check_file(path.stat().st_size, str(path))
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}): check the path") from error


def as_list(images: Iterable[Picture] | Picture) -> Sequence[Picture]:
    """The pictures of a call that takes several: a single one is refused.

    Raises:
        InputError: it is a path or one image.
    """
    if isinstance(images, str | Path | bytes | PictureFile | Image.Image):
        raise InputError("give a list of pictures, even where there is only one: [picture]")
    return list(images)
