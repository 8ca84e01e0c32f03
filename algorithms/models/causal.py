"""Causal blocks over one sequence that ends in different ways.

A ``Branches`` holds a common past of S steps, and B alternatives for the step that follows. Causal
means that a step sees itself and what came before, so the past is computed once for all ends:
exactly what B sequences of S + 1 steps would give.

Mishra et al. 2018, section 3: each block appends what it computes to the channels of its input.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from metaray.algorithms.models.backbone import glorot_uniform
from metaray.algorithms.parameters import Tensors


class Branches(NamedTuple):
    """B sequences that are alike up to their last step."""

    past: Tensor  # [S, C]
    ends: Tensor  # [B, C]


def init_layer(generator: torch.Generator, prefix: str, inputs: int, outputs: int) -> Tensors:
    """Glorot-uniform weight ``[outputs, inputs]`` and zero bias."""
    return {
        f"{prefix}.weight": glorot_uniform(generator, outputs, inputs),
        f"{prefix}.bias": torch.zeros(outputs),
    }


def init_dense(generator: torch.Generator, prefix: str, inputs: int, filters: int) -> Tensors:
    """Parameters of ``dense``, which adds ``filters`` channels."""
    return {
        **init_layer(generator, f"{prefix}.now", inputs, 2 * filters),
        f"{prefix}.before": glorot_uniform(generator, 2 * filters, inputs),
    }


def dense(params: Mapping[str, Tensor], prefix: str, x: Branches, dilation: int) -> Branches:
    """A gated convolution over a step and the one ``dilation`` before it (zeros at the start)."""
    padded = F.pad(x.past, (0, 0, dilation, 0))
    size = x.past.shape[0]
    return Branches(
        _gated(params, prefix, x.past, padded[:size]),
        _gated(params, prefix, x.ends, padded[size : size + 1]),
    )


def _gated(params: Mapping[str, Tensor], prefix: str, now: Tensor, before: Tensor) -> Tensor:
    out = _layer(params, f"{prefix}.now", now) + F.linear(before, params[f"{prefix}.before"])
    value, gate = out.chunk(2, dim=-1)
    return torch.cat([now, value.tanh() * gate.sigmoid()], dim=-1)


def init_attention(
    generator: torch.Generator, prefix: str, inputs: int, keys: int, values: int
) -> Tensors:
    """Parameters of ``attention``, which adds ``values`` channels.

    Queries and keys start alike, so that a step attends to what resembles it from the first.
    """
    query = init_layer(generator, f"{prefix}.query", inputs, keys)
    return {
        **query,
        **{name.replace(".query", ".key"): value.clone() for name, value in query.items()},
        **init_layer(generator, f"{prefix}.value", inputs, values),
    }


def attention(params: Mapping[str, Tensor], prefix: str, x: Branches) -> Branches:
    """Single-head scaled dot-product attention (Vaswani et al. 2017) to the steps so far."""
    weights = attention_weights(params, prefix, x)
    past, ends = (_layer(params, f"{prefix}.value", part) for part in x)
    size = x.past.shape[0]
    read = weights.ends[:, :size] @ past + weights.ends[:, size:] * ends
    return Branches(
        torch.cat([x.past, weights.past @ past], dim=-1), torch.cat([x.ends, read], dim=-1)
    )


def attention_weights(params: Mapping[str, Tensor], prefix: str, x: Branches) -> Branches:
    """What each step attends to: ``[S, S]`` in the past; at an end the past and itself,
    ``[B, S + 1]``."""
    (past_q, end_q), (past_k, end_k) = (
        [_layer(params, f"{prefix}.{role}", part) for part in x] for role in ("query", "key")
    )
    scale = past_q.shape[-1] ** -0.5
    size = x.past.shape[0]
    future = torch.ones(size, size, dtype=torch.bool, device=x.past.device).triu(1)
    past = (scale * past_q @ past_k.T).masked_fill(future, -torch.inf)
    own = (end_q * end_k).sum(-1, keepdim=True)
    ends = scale * torch.cat([end_q @ past_k.T, own], dim=-1)
    return Branches(past.softmax(-1), ends.softmax(-1))


def _layer(params: Mapping[str, Tensor], prefix: str, x: Tensor) -> Tensor:
    return F.linear(x, params[f"{prefix}.weight"], params[f"{prefix}.bias"])
