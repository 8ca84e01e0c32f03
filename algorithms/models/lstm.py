"""The long short-term memory cell as a pure function.

Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000::

    i, f, g, o = W x + U h + b
    c' = sigmoid(f) c + sigmoid(i) tanh(g)
    h' = sigmoid(o) tanh(c')

The forget gate's bias starts at 1 (Jozefowicz et al. 2015), so that a fresh cell remembers.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from metaray.algorithms.models.backbone import glorot_uniform
from metaray.algorithms.parameters import Tensors


def init_lstm(
    generator: torch.Generator, prefix: str, in_features: int, hidden_size: int
) -> Tensors:
    """Glorot-uniform weights, gate by gate, ``[4 * hidden_size, ...]``, and the bias."""
    bias = torch.zeros(4 * hidden_size)
    bias[hidden_size : 2 * hidden_size] = 1.0
    gates = [glorot_uniform(generator, hidden_size, in_features) for _ in range(4)]
    recurrent = [glorot_uniform(generator, hidden_size, hidden_size) for _ in range(4)]
    return {
        f"{prefix}.input": torch.cat(gates),
        f"{prefix}.recurrent": torch.cat(recurrent),
        f"{prefix}.bias": bias,
    }


def lstm_cell(
    params: Mapping[str, Tensor], prefix: str, x: Tensor, state: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """One step on ``x`` ``[..., in]`` from ``(h, c)``, each ``[..., hidden]``, to the next."""
    h, c = state
    gates = F.linear(x, params[f"{prefix}.input"], params[f"{prefix}.bias"])
    gates = gates + F.linear(h, params[f"{prefix}.recurrent"])
    i, f, g, o = gates.chunk(4, dim=-1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c
