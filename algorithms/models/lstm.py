"""A long short-term memory cell as a pure function of named parameters.

Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000 and no peepholes::

    i, f, o = sigmoid(.)    g = tanh(.)    of  W x + U h + b
    c' = f * c + i * g      h' = o * tanh(c')
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from metaray.algorithms.models.backbone import glorot_uniform
from metaray.algorithms.parameters import Tensors


def init_lstm(generator: torch.Generator, prefix: str, in_features: int, hidden: int) -> Tensors:
    """Glorot-uniform weights, and zero biases but for the forget gate's, which are 1."""
    bias = torch.zeros(4 * hidden)
    bias[hidden : 2 * hidden] = 1
    return {
        f"{prefix}.input": glorot_uniform(generator, 4 * hidden, in_features),
        f"{prefix}.hidden": glorot_uniform(generator, 4 * hidden, hidden),
        f"{prefix}.bias": bias,
    }


def lstm_cell(
    params: Mapping[str, Tensor], prefix: str, x: Tensor, state: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """One step on ``x`` ``[B, in]`` from ``(h, c)``, each ``[B, hidden]``, to the next ``(h, c)``.

    Gates lie in the parameters as in ``torch.nn.LSTMCell``: input, forget, cell, output.
    """
    h, c = state
    gates = F.linear(x, params[f"{prefix}.input"], params[f"{prefix}.bias"])
    gates = gates + F.linear(h, params[f"{prefix}.hidden"])
    i, f, g, o = gates.chunk(4, dim=-1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c
