"""K nearest neighbours on frozen features.

Cover & Hart, "Nearest Neighbor Pattern Classification", IEEE Transactions on Information Theory
13, 1967: a query takes the class that most of its k nearest support examples have. By default a
vote counts by the inverse of the distance (Dudani, "The Distance-Weighted k-Nearest-Neighbor Rule",
IEEE Transactions on Systems, Man and Cybernetics 6, 1976, gives such weights), so that with one
shot the nearest example decides.

Logits are the logarithms of the shares of the votes. Deviation: a thousandth of the votes is
divided among all classes, since the loss of a class without any would be infinite.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.embedding_based import unit_length
from metaray.algorithms.methods.feature_head import FeatureHead
from metaray.algorithms.methods.heads_config import NearestNeighboursConfig
from metaray.algorithms.methods.protonet import squared_distances
from metaray.algorithms.models.backbone import Backbone

_SPREAD = 1e-3  # share of the votes that is divided among all classes
_LEAST = 1e-6  # distances below are rounding, and count as this one


class Neighbours(NamedTuple):
    """The support set."""

    features: Tensor  # [S, F]
    one_hot: Tensor  # [S, ways]


class NearestNeighbours(FeatureHead):
    """The nearest support examples vote."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: NearestNeighboursConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs)
        self.config = config

    @override
    def fit(self, params: Mapping[str, Tensor], features: Tensor, one_hot: Tensor) -> Neighbours:
        return Neighbours(self._placed(features), one_hot)

    @override
    def scores(self, params: Mapping[str, Tensor], head: Neighbours, features: Tensor) -> Tensor:
        distances = self._distances(self._placed(features), head.features)
        nearest, rows = distances.topk(
            min(self.config.neighbours, distances.shape[-1]), largest=False
        )
        weights = torch.ones_like(nearest) if self.config.weights == "uniform" else 1 / nearest
        votes = (weights[..., None] * head.one_hot[rows]).sum(-2)
        shares = votes / votes.sum(-1, keepdim=True)
        return ((1 - _SPREAD) * shares + _SPREAD / votes.shape[-1]).log()

    def _placed(self, features: Tensor) -> Tensor:
        return unit_length(features) if self.config.metric == "cosine" else features

    def _distances(self, queries: Tensor, support: Tensor) -> Tensor:
        """``[B, S]``; of unit vectors, the squared distance is twice one minus the cosine."""
        squared = squared_distances(queries, support)
        if self.config.metric == "cosine":
            return (squared / 2).clamp(min=_LEAST)
        return squared.clamp(min=_LEAST**2).sqrt()
