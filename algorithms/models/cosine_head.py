"""A layer of cosine similarities on top of a backbone.

Chen et al. 2019 (arXiv 1904.04232), section 3.2, with the weight normalisation (Salimans & Kingma
2016) of their code: a class has a direction and a length, and its logit is the cosine of features
and direction, times the length, times a constant scale.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from metaray.algorithms.parameters import Tensors

WEIGHT, LENGTH = "head.weight", "head.length"
_TINY = 1e-10  # keeps the direction of a zero vector finite, with its derivatives


def init_cosine_head(generator: torch.Generator, feature_dim: int, num_outputs: int) -> Tensors:
    """Directions ``[num_outputs, feature_dim]``, drawn as torch draws a linear layer; lengths."""
    bound = feature_dim**-0.5
    weight = torch.empty(num_outputs, feature_dim).uniform_(-bound, bound, generator=generator)
    return {WEIGHT: weight, LENGTH: weight.norm(dim=-1)}


def even_cosine_head(like: Tensor, num_outputs: int) -> Tensors:
    """A head in which all classes are alike, for features such as ``like`` ``[..., feature_dim]``.

    Of the length that ``init_cosine_head`` draws on average.
    """
    length = 3**-0.5
    dim = like.shape[-1]
    return {
        WEIGHT: like.new_full((num_outputs, dim), length * dim**-0.5),
        LENGTH: like.new_full((num_outputs,), length),
    }


def apply_cosine_head(params: Mapping[str, Tensor], features: Tensor, scale: float) -> Tensor:
    """``[B, feature_dim]`` to logits ``[B, num_outputs]``."""
    cosines = directions(features) @ directions(params[WEIGHT]).T
    return scale * params[LENGTH] * cosines


def directions(x: Tensor) -> Tensor:
    """Rows of ``x`` ``[..., F]`` at length one; a row of zeros stays."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + _TINY)
