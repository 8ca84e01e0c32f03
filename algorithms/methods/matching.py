"""Matching networks.

Vinyals, Blundell, Lillicrap, Kavukcuoglu & Wierstra, "Matching Networks for One Shot Learning",
NIPS 2016 (arXiv 1606.04080). A query's label is a mixture of the support labels (equation 1),
weighted by attention (section 2.1.1)::

    p(y | x) = sum_i a(x, x_i) [y = y_i]      a(x, .) = softmax_i( cos(f(x), g(x_i)) / temperature )

The loss is the negative log-likelihood of the mixture: the logits here are its logarithm, whose
softmax is the mixture itself.

Without full context f = g is the backbone. With it (appendix A), f' = g' is the backbone, and

* g reads the support set with a bidirectional LSTM: g(x_i) = h_forward_i + h_backward_i + g'(x_i);
* f reads g for each query by itself, in K steps of an LSTM with attention::

    h_hat, c_k = LSTM(f'(x), [h_{k-1}, r_{k-1}], c_{k-1})      h_k = h_hat + f'(x)
    r_{k-1} = sum_i softmax_i( h_{k-1} . g(x_i) ) g(x_i)       f(x) = h_K

What the paper leaves open, and what is taken here: h_0 = c_0 = 0 in all LSTMs, so that the first
read-out is the mean of g; K = 5; the concatenation [h, r] of the equation (not their sum); the
support set in the order in which the episode lists it, which is a fresh random order, so that no
order depends on the labels. One backbone serves f' and g'. Fresh LSTMs have a tenth of the usual
weights: with all of them, f and g add noise to the features that takes long to unlearn.

The temperature is an addition; 1 gives the paper's equation. Cosines lie in [-1, 1], and in [0, 1]
after a ReLU, so that with N classes of one example each no query can be given more than
e / (e + N - 1): 0.40 of five, 0.13 of twenty. The loss then stays high however good the embedding,
and learning is slow: on 5-way 1-shot Omniglot, 71 % after 50 seconds of one core, where a
temperature of 0.1 has 88 %.
"""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.embedding_based import EmbeddingBased, Support, unit_length
from metaray.algorithms.methods.matching_config import MatchingConfig
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.lstm import init_lstm, lstm_cell
from metaray.algorithms.parameters import Tensors

READ_STEPS = 5
_START = 0.1  # share of the usual fresh LSTM
_FORWARD, _BACKWARD, _READ = "context.forward", "context.backward", "context.read"


class MatchingNetwork(EmbeddingBased):
    """Support labels, mixed by attention."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: MatchingConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs)
        self.config = config

    @override
    def init_own(self, generator: torch.Generator) -> tuple[Tensors, Tensors]:
        """The LSTMs of the full-context embeddings."""
        if not self.config.full_context:
            return {}, {}
        size = self.backbone.feature_dim
        params = init_lstm(generator, _FORWARD, size, size)
        params |= init_lstm(generator, _BACKWARD, size, size)
        params |= init_lstm(generator, _READ, 2 * size, size)
        return {name: _START * value for name, value in params.items()}, {}

    @override
    def logits(self, support: Support, x: Tensor) -> tuple[Tensor, Tensors]:
        """Log-probability of each class, ``[B, ways]``."""
        embedded, queries, batch_stats = self.embed(support, x)
        if self.config.full_context:
            embedded = read_support(support.params, embedded)
            queries = read_queries(support.params, queries, embedded)
        attention = log_attention(queries, embedded, self.config.temperature)
        return log_mixture(attention, support.one_hot), batch_stats


def log_attention(queries: Tensor, support: Tensor, temperature: float) -> Tensor:
    """Log of the attention of each query ``[B, F]`` over the support set ``[S, F]``: ``[B, S]``."""
    cosines = unit_length(queries) @ unit_length(support).T
    return torch.log_softmax(cosines / temperature, dim=-1)


def log_mixture(log_attention: Tensor, one_hot: Tensor) -> Tensor:
    """Log of the attention that each class gets: ``[B, S]`` and labels ``[S, N]`` to ``[B, N]``."""
    return torch.logsumexp(log_attention[:, :, None] + one_hot.log(), dim=1)


def read_support(params: Tensors, features: Tensor) -> Tensor:
    """g: features ``[S, F]`` in the context of each other, by a bidirectional LSTM."""
    steps = features.split(1)
    forward = _outputs(params, _FORWARD, steps)
    backward = _outputs(params, _BACKWARD, steps[::-1])[::-1]
    return torch.cat(forward) + torch.cat(backward) + features


def read_queries(params: Tensors, features: Tensor, context: Tensor) -> Tensor:
    """f: queries ``[B, F]`` in the context ``[S, F]`` of the support set, each by itself."""
    h = c = torch.zeros_like(features)
    for _ in range(READ_STEPS):
        read = torch.softmax(h @ context.T, dim=-1) @ context
        # weights on [x, r] and on h are those on x and on [h, r]
        h, c = lstm_cell(params, _READ, torch.cat([features, read], dim=-1), (h, c))
        h = h + features
    return h


def _outputs(params: Tensors, prefix: str, steps: tuple[Tensor, ...]) -> list[Tensor]:
    h = c = torch.zeros_like(steps[0])
    outputs = []
    for x in steps:
        h, c = lstm_cell(params, prefix, x, (h, c))
        outputs.append(h)
    return outputs
