"""A transformer encoder as a pure function of its parameters.

Vaswani et al. 2017, with the norm before attention and before the feed-forward part of each layer
(Xiong et al. 2020) and GELU, as in vision transformers (Dosovitskiy et al. 2021). No mask and no
position encoding: a sequence is a set. Nothing is dropped. It is written from matrix products, so
that it works under ``vmap`` and ``grad``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from metaray.algorithms.models.causal import init_layer
from metaray.algorithms.parameters import Tensors

_INNER = 4  # the feed-forward part is so many times as wide


def init_encoder(generator: torch.Generator, prefix: str, layers: int, width: int) -> Tensors:
    """Parameters of ``read_first``.

    Queries and keys of attention start alike, so that an element attends to what resembles it from
    the first.
    """
    params: Tensors = {}
    for layer in range(layers):
        at = f"{prefix}.layer{layer}"
        query = init_layer(generator, f"{at}.query", width, width)
        params |= init_norm(f"{at}.norm1", width) | query
        params |= {name.replace(".query", ".key"): value.clone() for name, value in query.items()}
        params |= init_layer(generator, f"{at}.value", width, width)
        params |= init_layer(generator, f"{at}.mix", width, width)
        params |= init_norm(f"{at}.norm2", width)
        params |= init_layer(generator, f"{at}.up", width, _INNER * width)
        params |= init_layer(generator, f"{at}.down", _INNER * width, width)
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
        return _linear(params, f"{at}.{role}", x).unflatten(-1, (heads, -1)).transpose(-3, -2)

    q, k, v = split("query", queries), split("key", keys), split("value", keys)
    weights = (q.shape[-1] ** -0.5 * q @ k.transpose(-1, -2)).softmax(-1)
    return _linear(params, f"{at}.mix", (weights @ v).transpose(-3, -2).flatten(-2))


def _linear(params: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.linear(x, params[f"{name}.weight"], params[f"{name}.bias"])


def _norm(params: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], params[f"{name}.weight"], params[f"{name}.bias"])
