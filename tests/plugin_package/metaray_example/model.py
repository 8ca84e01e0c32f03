"""A network: a plain module, with batch norm."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from metaray.algorithms.configs import ModelConfig


class TinyConfig(ModelConfig):
    """Two layers."""

    channels: int = Field(8, ge=1)
    """of both layers"""
    uses: ClassVar[tuple[str, ...]] = ()


class Tiny(nn.Module):
    """Two convolutions."""

    config_class = TinyConfig

    def __init__(self, input_shape: tuple[int, ...], config: TinyConfig) -> None:
        super().__init__()
        width = config.channels
        self.layers = nn.Sequential(
            nn.Conv2d(input_shape[0], width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images to a map."""
        features: Tensor = self.layers(x)
        return features
