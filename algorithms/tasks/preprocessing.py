"""From a picture as people have it to the input of a network, in the way of its training images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from metaray.algorithms.tasks.catalog import dataset_of
from metaray.algorithms.tasks.channels import converted
from metaray.algorithms.tasks.content import Images
from metaray.algorithms.tasks.dataset import ImageDataset
from metaray.algorithms.tasks.image_episodes import unit_range
from metaray.algorithms.tasks.store import ImageStore

_DARK, _LIGHT = 0.35, 0.65
_GREY, _COLOURED = 0.02, 0.08
_ENOUGH = 2000  # images that show what all look like


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """What images look like on average; both figures are from 0 to 1."""

    ground: float
    """brightness of the outermost pixels"""
    colour: float
    """difference between the strongest and the weakest channel of a pixel"""

    @classmethod
    def of(cls, images: Images) -> Appearance:
        """Of ``images`` ``[n, C, H, W]`` of bytes."""
        light = images.astype(np.float32).mean(1) / 255
        border = np.concatenate(
            [light[:, 0], light[:, -1], light[:, :, 0], light[:, :, -1]], axis=1
        )
        colour = (images.max(1).astype(np.float32) - images.min(1)).mean() / 255
        return cls(ground=round(float(border.mean()), 4), colour=round(float(colour), 4))

    def differences(self, trained: Appearance, inverts: bool) -> list[str]:
        """How these images look unlike those of the training, a sentence for each.

        ``inverts``: these were inverted.
        """
        found = []
        for low, high in ((self, trained), (trained, self)):
            if low.ground < _DARK and high.ground > _LIGHT:
                # what people see is the negative of an inverted image
                own_is_dark = (low is self) != inverts
                own, others = ("dark", "light") if own_is_dark else ("light", "dark")
                remedy = "--no-invert, invert=False" if inverts else "--invert, invert=True"
                found.append(
                    f"your pictures have a {own} ground, but the training had pictures with a "
                    f"{others} ground ({remedy} changes that)"
                )
        if self.colour > _COLOURED and trained.colour < _GREY:
            found.append("your pictures are in colour, but those of the training were grey")
        if self.colour < _GREY and trained.colour > _COLOURED:
            found.append("your pictures are grey, but those of the training were in colour")
        return found


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What a data set does to its pictures before a network sees them."""

    height: int
    """pixels after resizing, by Lanczos"""
    width: int
    stored_channels: Literal[1, 3]
    """1: pictures become grey before they are resized"""
    channels: Literal[1, 3]
    """that the network sees"""
    inverted: bool
    """dark ink on a light ground becomes light ink on a dark ground"""
    seen: Appearance | None = None
    """what the training images look like, as they are stored"""

    @classmethod
    def of(
        cls, store: ImageStore, name: str, channels: Literal[1, 3] | None, classes: Iterable[int]
    ) -> Preprocessing | None:
        """That of the data set ``name``; None where its images have other channels than 1 or 3.

        ``classes`` are those of the training.
        """
        stored, height, width = store.header.image_shape
        if stored not in (1, 3):
            return None
        some, count = [], 0
        for class_id in classes:
            some.append(store.images(class_id))
            count += len(some[-1])
            if count >= _ENOUGH:
                break
        dataset = dataset_of(name)
        return cls(
            height=height,
            width=width,
            stored_channels=cast(Literal[1, 3], stored),
            channels=channels or cast(Literal[1, 3], stored),
            inverted=isinstance(dataset, ImageDataset) and dataset.inverted,
            seen=Appearance.of(np.concatenate(some)) if some else None,
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preprocessing:
        """What ``as_json`` wrote."""
        seen = values["seen"]
        return cls(**{**values, "seen": None if seen is None else Appearance(**seen)})

    @classmethod
    def supposed(cls, name: str, input_shape: tuple[int, ...]) -> Preprocessing:
        """That of a run which did not record it."""
        channels, height, width = input_shape
        inverted = getattr(dataset_of(name), "inverted", False)
        return cls(
            height=height,
            width=width,
            stored_channels=1 if inverted else 3,
            channels=cast(Literal[1, 3], channels),
            inverted=inverted,
        )

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of the result."""
        return self.channels, self.height, self.width

    def stored(self, picture: Image.Image) -> NDArray[np.uint8]:
        """``[C, H, W]`` in bytes as the data set would store it, of a picture in mode ``RGB``."""
        if self.stored_channels == 1:
            picture = picture.convert("L")
        if picture.size != (self.width, self.height):
            picture = picture.resize((self.width, self.height), Image.Resampling.LANCZOS)
        pixels = np.atleast_3d(np.asarray(picture)).transpose(2, 0, 1)
        return np.ascontiguousarray(255 - pixels if self.inverted else pixels)

    def inputs(self, stored: Images) -> Tensor:
        """Input of the network, float32 ``[n, C, H, W]`` in [0, 1], of stored images."""
        if not len(stored):
            return torch.empty(0, *self.input_shape)
        return converted(unit_range(stored), self.channels)
