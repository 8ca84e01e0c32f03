"""Prototypical networks.

Snell, Swersky & Zemel, "Prototypical Networks for Few-shot Learning", NIPS 2017 (arXiv
1703.05175). The prototype of a class is the mean embedding of its support examples (equation 1);
a query's logits are minus its squared Euclidean distances to the prototypes (equation 2).

The recipe for Omniglot tests as the authors do: 1,000 episodes over turned classes, with 15 queries
of each class.

Deviations: the authors' code has a second training, on training and validation classes together,
before the test. Here the network that was best on validation is tested. Their code resizes with
Pillow's default filter, here images are resized with Lanczos.
"""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.embedding_based import EmbeddingBased, Support
from metaray.algorithms.methods.protonet_config import ProtoNetConfig
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.parameters import Tensors


class ProtoNet(EmbeddingBased):
    """Nearest class mean under squared Euclidean distance in a learned embedding."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: ProtoNetConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs)
        self.config = config

    @override
    def logits(self, support: Support, x: Tensor) -> tuple[Tensor, Tensors]:
        """Minus the squared distance of each query to each prototype, ``[B, ways]``."""
        embedded, queries, batch_stats = self.embed(support, x)
        return -squared_distances(queries, class_means(embedded, support.one_hot)), batch_stats


def class_means(features: Tensor, one_hot: Tensor) -> Tensor:
    """Features ``[S, F]`` and labels ``[S, ways]`` to the mean of each class, ``[ways, F]``."""
    return (one_hot / one_hot.sum(0)).T @ features


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """``[A, F]`` and ``[B, F]`` to ``[A, B]``, as one matrix product."""
    return a.square().sum(-1)[:, None] - 2 * a @ b.T + b.square().sum(-1)
