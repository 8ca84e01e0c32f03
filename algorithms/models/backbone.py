"""What a method needs of a network: a pure function from inputs to features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from metaray.algorithms.parameters import Tensors


class Backbone(ABC):
    """Maps inputs ``[B, *input_shape]`` to features ``[B, feature_dim]``."""

    feature_dim: int

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """``(channels, height, width)`` of the map that the features are, flattened."""
        return self.feature_dim, 1, 1

    @abstractmethod
    def init(self, generator: torch.Generator) -> tuple[Tensors, Tensors]:
        """Fresh float32 parameters, and normalisation statistics (empty without batch norm)."""

    @abstractmethod
    def apply(
        self, params: Mapping[str, Tensor], x: Tensor, stats: Mapping[str, Tensor] | None
    ) -> tuple[Tensor, Tensors]:
        """Features of ``x``, and the normalisation statistics that were used.

        ``stats`` None normalises by the batch ``x`` itself.
        """


def glorot_uniform(generator: torch.Generator, *shape: int) -> Tensor:
    """Uniform weights of Glorot & Bengio 2010 for ``[out, in, ...]``."""
    weight = torch.empty(shape)
    return torch.nn.init.xavier_uniform_(weight, generator=generator)
