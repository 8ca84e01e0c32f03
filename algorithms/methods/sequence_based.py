"""What methods share that read a support set as a sequence of inputs and labels.

The labels are inputs of the network, one-hot for classes and as they are for regression. Each
query follows the support set as if it were the only one, so queries cannot see one another.
Embeddings and batch norm are those of ``embedding_based``.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.algorithm import State
from metaray.algorithms.methods.embedding_based import EmbeddingBased, Support
from metaray.algorithms.parameters import Tensors


class SequenceBased(EmbeddingBased):
    """A backbone, and a network that reads its features in the order of the support set."""

    @override
    def init(self, seed: int) -> State:
        """Backbone and reader, and the backbone's running statistics as buffers."""
        generator = torch.Generator().manual_seed(seed)
        params, stats = self.backbone.init(generator)
        return State(params | self.init_reader(generator), stats)

    @override
    def logits(self, support: Support, x: Tensor) -> tuple[Tensor, Tensors]:
        """Outputs ``[B, num_outputs]`` of each query after the support set."""
        features, queries, batch_stats = self.embed(support, x)
        labels = support.y if self.kind == "regression" else support.one_hot
        return self.read(support.params, features, labels, queries), batch_stats

    @abstractmethod
    def init_reader(self, generator: torch.Generator) -> Tensors:
        """Parameters of all that is behind the backbone."""

    @abstractmethod
    def read(self, params: Tensors, features: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
        """Outputs ``[B, num_outputs]`` for queries ``[B, F]``.

        The support set comes as features ``[S, F]`` and labels ``[S, num_outputs]``.
        """
