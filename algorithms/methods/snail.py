"""SNAIL, the simple neural attentive learner.

Mishra, Rohaninejad, Chen & Abbeel, "A Simple Neural Attentive Meta-Learner", ICLR 2018 (arXiv
1707.03141). The support set, each input with its label, and last the query without one, are a
sequence that temporal convolutions and causal attention read in turn (section 3, appendix A)::

    attention, temporal convolutions, attention, temporal convolutions, attention, linear

The temporal convolutions are gated, their dilation doubles from layer to layer until they span the
sequence, and every layer appends its output to its input. All queries of an episode share one pass
over the support set (``models/causal``).

Deviations: dilations are 1, 2, 4, ...; the paper's listing begins at 2, which would leave out every
second step. Queries and keys of attention start with the same weights, which about halves the steps
before anything is learned. The backbone has no fully connected layer on top, and by default group
norm where the paper has batch norm over all episodes of a step. In training the paper predicts one
query of each episode, here all queries are predicted, each in a separate sequence.
"""

from __future__ import annotations

from math import ceil, log2

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.sequence_based import SequenceBased
from metaray.algorithms.methods.snail_config import SNAILConfig
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.causal import (
    Branches,
    attention,
    dense,
    init_attention,
    init_dense,
)
from metaray.algorithms.models.head import apply_head, init_head
from metaray.algorithms.parameters import Tensors


class SNAIL(SequenceBased):
    """Temporal convolutions that gather, and attention that picks out."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: SNAILConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs)
        width = config.width
        self.filters = width
        self.dilations = [2**i for i in range(ceil(log2(config.sequence_length)))]
        # keys and values of each attention block: 64, 32; 256, 128; 512, 256 in the paper
        self.attention_sizes = [
            (width // 2, width // 4),
            (2 * width, width),
            (4 * width, 2 * width),
        ]

    @override
    def init_reader(self, generator: torch.Generator) -> Tensors:
        """All blocks and the output layer."""
        params: Tensors = {}
        channels = self.backbone.feature_dim + self.num_outputs
        for block, (keys, values) in enumerate(self.attention_sizes):
            for dilation in self.dilations if block else ():
                prefix = f"convolution{block}.dilation{dilation}"
                params |= init_dense(generator, prefix, channels, self.filters)
                channels += self.filters
            params |= init_attention(generator, f"attention{block}", channels, keys, values)
            channels += values
        return params | init_head(generator, channels, self.num_outputs)

    @override
    def read(self, params: Tensors, features: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
        """Outputs at the last step of each query's sequence."""
        unlabelled = labels.new_zeros(queries.shape[0], labels.shape[1])
        x = Branches(
            torch.cat([features, labels], dim=-1), torch.cat([queries, unlabelled], dim=-1)
        )
        for block in range(len(self.attention_sizes)):
            for dilation in self.dilations if block else ():
                x = dense(params, f"convolution{block}.dilation{dilation}", x, dilation)
            x = attention(params, f"attention{block}", x)
        return apply_head(params, x.ends)
