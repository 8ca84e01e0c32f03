"""Linear layers with ReLU between them, on top of a backbone.

Label predictors, domain classifiers and projection heads are such stacks. The last layer has the
names of a linear head (``PREFIX.weight``, ``PREFIX.bias``), so that a stack of one layer is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from metaray.algorithms.models.backbone import glorot_uniform
from metaray.algorithms.parameters import Tensors


def init_dense(generator: torch.Generator, prefix: str, sizes: Sequence[int]) -> Tensors:
    """Glorot-uniform weights and zero biases of layers from ``sizes[0]`` to ``sizes[-1]`` units."""
    params: Tensors = {}
    for layer, inputs, outputs in zip(
        _layers(prefix, len(sizes) - 1), sizes[:-1], sizes[1:], strict=True
    ):
        params[f"{layer}.weight"] = glorot_uniform(generator, outputs, inputs)
        params[f"{layer}.bias"] = torch.zeros(outputs)
    return params


def apply_dense(params: Mapping[str, Tensor], prefix: str, x: Tensor, depth: int) -> Tensor:
    """``[B, sizes[0]]`` through ``depth`` layers to ``[B, sizes[-1]]``."""
    for i, layer in enumerate(_layers(prefix, depth)):
        x = F.linear(F.relu(x) if i else x, params[f"{layer}.weight"], params[f"{layer}.bias"])
    return x


def _layers(prefix: str, depth: int) -> list[str]:
    return [f"{prefix}.hidden{i}" for i in range(depth - 1)] + [prefix]
