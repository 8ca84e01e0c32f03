"""A data set: bars at an angle of their class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from metaray.algorithms.configs import DataConfig


class BarsConfig(DataConfig):
    """Bars."""

    image_size: int = Field(16, ge=8, le=512)
    """pixels per side"""
    angles: int = Field(24, ge=3)
    """classes"""


class Bars:
    """Bars at an angle of their class, and at a distance from the middle of their own."""

    config_class = BarsConfig

    def __init__(self, config: BarsConfig) -> None:
        self.class_names = [f"angle{i:03}" for i in range(config.angles)]
        self._size = config.image_size

    def count(self, class_id: int) -> int:
        """Images of each class."""
        return 20

    def image(self, class_id: int, index: int) -> NDArray[np.uint8]:
        """Bright where a pixel is near to the line, with noise that tells images apart."""
        angle = np.pi * class_id / len(self.class_names)
        y, x = np.mgrid[: self._size, : self._size] - self._size / 2
        away = np.abs(x * np.sin(angle) - y * np.cos(angle) - (index - 10) / 5)
        noise = np.random.default_rng((class_id, index)).uniform(0, 40, away.shape)
        return np.clip(215 * np.exp(-away) + noise, 0, 255).astype(np.uint8)
