"""The linear layer on top of a backbone."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from metaray.algorithms.models.backbone import glorot_uniform
from metaray.algorithms.parameters import Tensors

HEAD = ("head.weight", "head.bias")


def init_head(generator: torch.Generator, feature_dim: int, num_outputs: int) -> Tensors:
    """Glorot-uniform weight ``[num_outputs, feature_dim]`` and zero bias."""
    weight = glorot_uniform(generator, num_outputs, feature_dim)
    return {HEAD[0]: weight, HEAD[1]: torch.zeros(num_outputs)}


def apply_head(params: Mapping[str, Tensor], features: Tensor) -> Tensor:
    """``[B, feature_dim]`` to logits (or regression outputs) ``[B, num_outputs]``."""
    return F.linear(features, params[HEAD[0]], params[HEAD[1]])
