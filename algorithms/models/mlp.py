"""A multilayer perceptron: ReLU, no norm (Finn et al. 2017 on sinusoids: two layers of 40)."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.models.backbone import Backbone, glorot_uniform
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.rules.layer import Layer
from metaray.algorithms.rules.simple import Linear, ReLU


class MLP(Backbone):
    """``depth`` hidden layers of ``width`` units over the flattened input."""

    def __init__(self, input_shape: tuple[int, ...], width: int, depth: int) -> None:
        self.in_features = prod(input_shape)
        self.feature_dim = width
        self.depth = depth

    @override
    def init(self, generator: torch.Generator) -> tuple[Tensors, Tensors]:
        """Glorot-uniform weights and zero biases."""
        params: Tensors = {}
        fan_in = self.in_features
        for layer in range(self.depth):
            params[f"layer{layer}.weight"] = glorot_uniform(generator, self.feature_dim, fan_in)
            params[f"layer{layer}.bias"] = torch.zeros(self.feature_dim)
            fan_in = self.feature_dim
        return params, {}

    @override
    def apply(
        self,
        params: Mapping[str, Tensor],
        x: Tensor,
        stats: Mapping[str, Tensor] | None,
        key: Tensor | None = None,
    ) -> tuple[Tensor, Tensors]:
        """``[B, *input_shape]`` to ``[B, width]``; there are no statistics."""
        x = x.flatten(1)
        for layer in range(self.depth):
            x = F.relu(F.linear(x, params[f"layer{layer}.weight"], params[f"layer{layer}.bias"]))
        return x, {}

    @override
    def layers(self) -> list[Layer]:
        names = [f"layer{layer}" for layer in range(self.depth)]
        return [
            layer for name in names for layer in (Linear(f"{name}.weight", f"{name}.bias"), ReLU())
        ]
