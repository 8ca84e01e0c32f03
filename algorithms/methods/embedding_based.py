"""What methods share that compare or read embeddings, and take no gradient steps on a task.

Batch norm follows the reference code of these methods: in training, support and query are one
batch with its own statistics, and running statistics are kept; inductive evaluation normalises by
those, transductive evaluation by support and query together.

Deviation: running variances are biased (divided by n), torch's are divided by n - 1.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import grad
from typing_extensions import override

from metaray.algorithms.algorithm import Algorithm, State, TaskGradient
from metaray.algorithms.configs import BatchNormMode
from metaray.algorithms.episode import Episode
from metaray.algorithms.losses import metrics_of
from metaray.algorithms.models.norm import running_statistics
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.rules.behind import gradients_behind

_LEAST_SQUARE = 1e-8  # squared lengths below are not scaled to 1


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
    embedded: Tensor | None = None
    """features of ``x`` ``[support, F]``, where they were computed already"""
    queries: Tensor | None = None
    """features of the queries ``[B, F]``, where they were computed already"""
    task_key: Tensor | None = None
    """seed of what the method itself draws on a task, in training and in tests; None: 0"""


class EmbeddingBased(Algorithm):
    """A backbone without a head; what is adapted is the support set itself."""

    @override
    def init(self, seed: int) -> State:
        """The backbone and what the method has beside it; running statistics are the buffers."""
        generator = torch.Generator().manual_seed(seed)
        params, stats = self.backbone.init(generator)
        own_params, own_stats = self.init_own(generator)
        return State(params | own_params, stats | own_stats)

    def init_own(self, generator: torch.Generator) -> tuple[Tensors, Tensors]:
        """Parameters and normalisation statistics beside the backbone's; none by default."""
        return {}, {}

    @override
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

    @override
    def predict(self, adapted: Support, x: Tensor) -> Tensor:
        return self.logits(adapted, x)[0]

    @override
    def precomputed(self, adapted: Support) -> Support:
        """With the features of the support set; as it is where its queries decide on these."""
        if adapted.stats is None:
            return adapted
        features, _ = self.backbone.apply(adapted.params, adapted.x, adapted.stats)
        return adapted._replace(embedded=features)

    @override
    def task_gradient(
        self, state: State, episode: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient:
        """The gradient of the training loss; nothing is adapted on the way to it."""

        def loss(params: Tensors) -> tuple[Tensor, tuple[Tensors, Tensors]]:
            support = self.support_of(params, episode.support_x, episode.support_y, ways, None)
            support = support._replace(key=episode.key, task_key=episode.key)
            metrics, batch_stats = self.metrics(support, episode.query_x, episode.query_y)
            return metrics["loss"], (metrics, batch_stats)

        gradient, (metrics, batch_stats) = grad(loss, has_aux=True)(state.params)
        return TaskGradient(gradient, running_statistics(state.buffers, batch_stats), metrics)

    @override
    def gradients_by_rules(
        self, state: State, episodes: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient:
        def loss(
            own: Tensors, features: Tensor, *tensors: Tensor
        ) -> tuple[Tensor, tuple[Tensors, Tensors]]:
            task = Episode(*tensors)
            size = len(task.support_y)
            support = self.support_of(own, task.support_x, task.support_y, ways, None)
            support = support._replace(
                embedded=features[:size], queries=features[size:], task_key=task.key
            )
            metrics, own_stats = self.metrics(support, task.query_x, task.query_y)
            return metrics["loss"], (metrics, own_stats)

        x = torch.cat([episodes.support_x, episodes.query_x], 1)
        return gradients_behind(self.body, state, x, episodes, loss)

    @abstractmethod
    def logits(self, support: Support, x: Tensor) -> tuple[Tensor, Tensors]:
        """Logits ``[B, ways]`` of ``x``, and the normalisation statistics that were used."""

    def metrics(self, support: Support, x: Tensor, y: Tensor) -> tuple[Tensors, Tensors]:
        """Training ``loss`` and ``accuracy`` on queries ``x``, ``y``, and the statistics used.

        The loss is the cross-entropy of the logits, unless a method says otherwise.
        """
        logits, batch_stats = self.logits(support, x)
        return metrics_of(self.kind, logits, y), batch_stats

    def support_of(
        self, params: Tensors, x: Tensor, y: Tensor, ways: int, stats: Tensors | None
    ) -> Support:
        """A support set as ``logits`` takes it."""
        return Support(params, x, y, one_hot(y, ways, x.dtype), stats)

    def embed(self, support: Support, x: Tensor) -> tuple[Tensor, Tensor, Tensors]:
        """Features of the support set and of ``x`` as one batch, and the statistics used."""
        if support.embedded is not None and support.queries is not None:
            return support.embedded, support.queries, {}
        if support.embedded is not None:
            features, stats = self.backbone.apply(support.params, x, support.stats)
            return support.embedded, features, stats
        together = torch.cat([support.x, x])
        features, batch_stats = self.backbone.apply(
            support.params, together, support.stats, support.key
        )
        size = support.x.shape[0]
        return features[:size], features[size:], batch_stats


def one_hot(y: Tensor, ways: int, dtype: torch.dtype) -> Tensor:
    """Labels ``[B]`` to ``[B, ways]``; torch's own looks at values, which vmap does not allow."""
    return (y[:, None] == torch.arange(ways, device=y.device)).to(dtype)


def unit_length(features: Tensor) -> Tensor:
    """``[B, F]`` scaled to length 1; zeros stay, with a finite gradient."""
    return features * features.square().sum(-1, keepdim=True).clamp(min=_LEAST_SQUARE).rsqrt()
