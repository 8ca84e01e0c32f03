"""Named tensors and their flat form, in which they travel and are updated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

Tensors = dict[str, Tensor]
"""Parameters or buffers by name."""


@dataclass(frozen=True)
class Layout:
    """The order, names and shapes in which named tensors lie in one flat vector."""

    shapes: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Layout:
        """The layout of ``tensors`` in their own order."""
        return cls(tuple((name, tuple(t.shape)) for name, t in tensors.items()))

    @property
    def size(self) -> int:
        """Number of elements in the flat vector."""
        return sum(prod(shape) for _, shape in self.shapes)

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Concatenate ``tensors`` into ``[size]``, or ``[T, size]`` under a leading task axis."""
        if not self.shapes:
            return torch.empty(0)
        first, shape = self.shapes[0]
        tasks = tensors[first].shape[: tensors[first].ndim - len(shape)]
        return torch.cat([tensors[name].reshape(*tasks, -1) for name, _ in self.shapes], dim=-1)

    def unflatten(self, flat: Tensor) -> Tensors:
        """Views of ``flat`` (``[size]``) under their names.

        Raises:
            ValueError: ``flat`` does not have exactly ``size`` elements.
        """
        if flat.shape != (self.size,):
            raise ValueError(f"expected a flat vector of {self.size} elements, got {flat.shape}")
        pieces = flat.split([prod(shape) for _, shape in self.shapes])
        return {
            name: piece.view(shape)
            for (name, shape), piece in zip(self.shapes, pieces, strict=True)
        }
