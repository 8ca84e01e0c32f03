"""Multilayer perceptrons: linear layers with ReLU, and a norm between them or none.

``mlp`` is that of Finn et al. 2017 on sinusoids: two layers of 40, no norm. ``mlp_norm`` is their
network without convolutions on Omniglot: layers of 256, 128, 64 and 64 units with batch norm.

Deviations: a layer with a norm has no bias, which batch norm would take out again; weights are
Glorot-uniform, where their code has a normal distribution of standard deviation 0.01.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.configs import NormKind
from metaray.algorithms.models.backbone import Backbone, glorot_uniform
from metaray.algorithms.models.norm import init_norm, normalise
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.rules.layer import Layer
from metaray.algorithms.rules.norm import norm_and_relu
from metaray.algorithms.rules.simple import Linear, ReLU


class MLP(Backbone):
    """Hidden layers of ``widths`` units over the flattened input; the last are the features."""

    def __init__(
        self, input_shape: tuple[int, ...], widths: Sequence[int], norm: NormKind | None = None
    ) -> None:
        self.sizes = (prod(input_shape), *widths)
        self.feature_dim = widths[-1]
        self.norm = norm
        self._layers = [f"layer{layer}" for layer in range(len(widths))]

    @override
    def init(self, generator: torch.Generator) -> tuple[Tensors, Tensors]:
        """Glorot-uniform weights and zero biases."""
        params: Tensors = {}
        stats: Tensors = {}
        for layer, (fan_in, units) in zip(self._layers, pairwise(self.sizes), strict=True):
            params[f"{layer}.weight"] = glorot_uniform(generator, units, fan_in)
            if self.norm is None:
                params[f"{layer}.bias"] = torch.zeros(units)
            else:
                norm_params, norm_stats = init_norm(f"{layer}.norm", units, self.norm)
                params |= norm_params
                stats |= norm_stats
        return params, stats

    @override
    def apply(
        self,
        params: Mapping[str, Tensor],
        x: Tensor,
        stats: Mapping[str, Tensor] | None,
        key: Tensor | None = None,
    ) -> tuple[Tensor, Tensors]:
        """``[B, *input_shape]`` to ``[B, feature_dim]``."""
        used: Tensors = {}
        x = x.flatten(1)
        for layer in self._layers:
            x = F.linear(x, params[f"{layer}.weight"], params.get(f"{layer}.bias"))
            if self.norm is not None:
                pixels = x[:, :, None, None]
                pixels, seen = normalise(self.norm, params, f"{layer}.norm", pixels, stats)
                x = pixels[:, :, 0, 0]
                used |= seen
            x = F.relu(x)
        return x, used

    @override
    def layers(self) -> list[Layer]:
        found: list[Layer] = []
        for layer in self._layers:
            if self.norm is None:
                found += [Linear(f"{layer}.weight", f"{layer}.bias"), ReLU()]
            else:
                found += [Linear(f"{layer}.weight"), norm_and_relu(self.norm, f"{layer}.norm")]
        return found
