"""Classes whose images are arrays in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.content import ImageClass, Images
from metaray.algorithms.tasks.image_files import resized


@dataclass(frozen=True, kw_only=True)
class ArrayClass:
    """One class of images, uint8 ``[n, H, W, 3]`` or grey ``[n, H, W]``."""

    name: str
    group: str
    pixels: Images
    image_size: int

    @property
    def num_images(self) -> int:
        """None needs decoding."""
        return 0

    def load(self) -> ImageClass:
        """All images, resized if need be: uint8 ``[n, 3 or 1, size, size]``."""
        if not len(self.pixels):
            raise InputError(f"class {self.name} has no images: fetch the data set again")
        images = np.stack([resized(image, self.image_size) for image in self.pixels])
        return ImageClass(self.name, self.group, images)
