"""What methods share that compare or read embeddings, and take no gradient steps on a task.

Batch norm follows the reference code of these methods: in training, support and query are one
batch with its own statistics, and running statistics are kept; inductive evaluation normalises by
those, transductive evaluation by support and query together.

Deviation: running variances are biased (divided by n), torch's are divided by n - 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import grad

from metaray.algorithms.algorithm import Algorithm, State, TaskGradient
from metaray.algorithms.configs import BatchNormMode
from metaray.algorithms.episode import Episode
from metaray.algorithms.losses import figures_of
from metaray.algorithms.parameters import Tensors

_MOMENTUM = 0.1  # share of a new batch in the running statistics, torch's default


class Support(NamedTuple):
    """A support set, with what it takes to place queries beside it."""

    params: Tensors
    x: Tensor
    y: Tensor
    one_hot: Tensor
    """labels ``[support, ways]``"""
    stats: Tensors | None
    """statistics to normalise by; None: those of support and queries together"""
    key: Tensor | None = None
    """seed of what the network drops at random in training; None: nothing"""


class EmbeddingBased(Algorithm):
    """A backbone without a head; what is adapted is the support set itself."""

    def init(self, seed: int) -> State:
        """The backbone alone, and its running statistics as buffers."""
        params, stats = self.backbone.init(torch.Generator().manual_seed(seed))
        return State(params, stats)

    def adapt(
        self,
        state: State,
        support_x: Tensor,
        support_y: Tensor,
        ways: int,
        batch_norm: BatchNormMode,
    ) -> list[Any]:
        """One result: nothing is adapted step by step."""
        stats = state.buffers if batch_norm == "inductive" else None
        return [self.support_of(state.params, support_x, support_y, ways, stats)]

    def predict(self, adapted: Support, x: Tensor) -> Tensor:
        """Logits of each query, ``[B, ways]``."""
        return self.logits(adapted, x)[0]

    def task_gradient(
        self, state: State, episode: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient:
        """The gradient of the query loss; the embedding is all there is to learn."""

        def query_loss(params: Tensors) -> tuple[Tensor, tuple[Tensors, Tensors]]:
            support = self.support_of(params, episode.support_x, episode.support_y, ways, None)
            support = support._replace(key=episode.key)
            logits, seen = self.logits(support, episode.query_x)
            figures = figures_of(self.kind, logits, episode.query_y)
            return figures["loss"], (figures, seen)

        gradient, (figures, seen) = grad(query_loss, has_aux=True)(state.params)
        return TaskGradient(gradient, running_statistics(state.buffers, seen), figures)

    def logits(self, support: Support, x: Tensor) -> tuple[Tensor, Tensors]:
        """Logits ``[B, ways]`` of ``x``, and the normalisation statistics that were used."""
        raise NotImplementedError

    def support_of(
        self, params: Tensors, x: Tensor, y: Tensor, ways: int, stats: Tensors | None
    ) -> Support:
        """A support set as ``logits`` takes it."""
        # torch's one_hot looks at values, which vmap does not allow
        one_hot = (y[:, None] == torch.arange(ways, device=y.device)).to(x.dtype)
        return Support(params, x, y, one_hot, stats)

    def embed(self, support: Support, x: Tensor) -> tuple[Tensor, Tensor, Tensors]:
        """Features of the support set and of ``x`` as one batch, and the statistics used."""
        together = torch.cat([support.x, x])
        features, seen = self.backbone.apply(support.params, together, support.stats, support.key)
        size = support.x.shape[0]
        return features[:size], features[size:], seen


def running_statistics(old: Tensors, seen: Tensors) -> Tensors:
    """The running statistics ``old`` after a batch with those ``seen``."""
    return {name: (1 - _MOMENTUM) * old[name] + _MOMENTUM * seen[name] for name in old}
