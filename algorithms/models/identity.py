"""No network: features are the inputs. For data that are features already, and heads on them."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.parameters import Tensors


class Identity(Backbone):
    """``[B, *input_shape]``, flattened; there are no parameters."""

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        self.feature_dim = prod(input_shape)

    @override
    def init(self, generator: torch.Generator) -> tuple[Tensors, Tensors]:
        return {}, {}

    @override
    def apply(
        self,
        params: Mapping[str, Tensor],
        x: Tensor,
        stats: Mapping[str, Tensor] | None,
        key: Tensor | None = None,
    ) -> tuple[Tensor, Tensors]:
        return x.flatten(1), {}
