"""Classes whose images are drawn already, in the size that is wanted."""

from __future__ import annotations

from typing import NamedTuple

from metaray.algorithms.tasks.content import ImageClass, Images


class DrawnClass(NamedTuple):
    """One class of drawn images, uint8 ``[n, C, size, size]``."""

    name: str
    group: str
    images: Images

    @property
    def num_images(self) -> int:
        """None needs decoding."""
        return 0

    def load(self) -> ImageClass:
        """The images as they are."""
        return ImageClass(self.name, self.group, self.images)
