"""A transformer encoder as a pure function of its parameters.

Vaswani et al. 2017, with the norm before attention and before the feed-forward part of each layer
(Xiong et al. 2020) and GELU, as in vision transformers (Dosovitskiy et al. 2021). There is no
position encoding: a sequence is a set. Only the first element may not look at itself, since nothing
resembles it as much; what it is stays in the sum. Nothing is dropped. It is written from matrix
products, so that it works under ``vmap`` and ``grad``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from metaray.algorithms.models.backbone import glorot_uniform
from metaray.algorithms.parameters import Tensors

_INNER = 4  # the feed-forward part is so many times as wide
_SHARPNESS = 16.0  # factor of the cosine of two images in attention, at the start


def init_encoder(
    generator: torch.Generator, prefix: str, layers: int, width: int, heads: int, labels: int
) -> Tensors:
    """Parameters of ``read_first``, for elements whose last ``labels`` numbers are a label.

    Fresh attention compares what is before the label and passes on labels, and a fresh feed-forward
    part adds nothing. So each element collects the labels of those that resemble it.
    """
    params: Tensors = {}
    images = width - labels
    sharpness = (_SHARPNESS * heads * (width / heads) ** 0.5 / images) ** 0.5
    for layer in range(layers):
        at = f"{prefix}.layer{layer}"
        compared, passed = (orthonormal(generator, width, n) for n in (images, labels))
        query = F.pad(sharpness * compared, (0, labels))
        value = F.pad(passed, (images, 0))
        up = glorot_uniform(generator, _INNER * width, width)
        weights = {"query": query, "key": query.clone(), "value": value, "up": up}
        weights |= {"mix": value.T.contiguous(), "down": torch.zeros(width, _INNER * width)}
        for name, weight in weights.items():
            params[f"{at}.{name}.weight"] = weight
            params[f"{at}.{name}.bias"] = torch.zeros(len(weight))
        params |= init_norm(f"{at}.norm1", width) | init_norm(f"{at}.norm2", width)
    return params | init_norm(f"{prefix}.norm", width)


def init_norm(name: str, width: int) -> Tensors:
    """Scale one and shift zero of a layer norm."""
    return {f"{name}.weight": torch.ones(width), f"{name}.bias": torch.zeros(width)}


def read_first(
    params: Mapping[str, Tensor], prefix: str, x: Tensor, layers: int, heads: int
) -> Tensor:
    """What becomes of the first element of each sequence: ``[B, L, width]`` to ``[B, width]``.

    The last layer is computed for the first elements alone, since nothing looks at the others.
    """
    for layer in range(layers):
        at = f"{prefix}.layer{layer}"
        keys = _norm(params, f"{at}.norm1", x)
        if layer == layers - 1:
            x, queries = x[:, :1], keys[:, :1]
        else:
            queries = keys
        x = x + _attention(params, at, queries, keys, heads)
        hidden = F.gelu(_linear(params, f"{at}.up", _norm(params, f"{at}.norm2", x)))
        x = x + _linear(params, f"{at}.down", hidden)
    return _norm(params, f"{prefix}.norm", x[:, 0])


def _attention(
    params: Mapping[str, Tensor], at: str, queries: Tensor, keys: Tensor, heads: int
) -> Tensor:
    def split(role: str, x: Tensor) -> Tensor:  # [B, L, width] to [B, heads, L, width / heads]
        parts: Tensor = _linear(params, f"{at}.{role}", x).unflatten(-1, (heads, -1))
        return parts.transpose(-3, -2)

    q, k, v = split("query", queries), split("key", keys), split("value", keys)
    scores = q.shape[-1] ** -0.5 * q @ k.transpose(-1, -2)
    weights = scores.masked_fill(_first_itself(scores), -torch.inf).softmax(-1)
    read: Tensor = (weights @ v).transpose(-3, -2).flatten(-2)
    return _linear(params, f"{at}.mix", read)


def _first_itself(scores: Tensor) -> Tensor:
    """Where the first element would look at itself, ``[queries, keys]``."""
    first_query, first_key = (torch.arange(n, device=scores.device) == 0 for n in scores.shape[-2:])
    return first_query[:, None] & first_key


def _linear(params: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.linear(x, params[f"{name}.weight"], params[f"{name}.bias"])


def _norm(params: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight, bias = params[f"{name}.weight"], params[f"{name}.bias"]
    normed: Tensor = F.layer_norm(x, x.shape[-1:], weight, bias)
    return normed


def orthonormal(generator: torch.Generator, rows: int, columns: int) -> Tensor:
    """Random ``[rows, columns]``: columns, or rows where there are fewer, are orthonormal."""
    weight: Tensor = torch.nn.init.orthogonal_(torch.empty(rows, columns), generator=generator)
    return weight
