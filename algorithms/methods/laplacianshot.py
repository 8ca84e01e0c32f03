"""Labels that agree with those of near queries, on frozen features.

LaplacianShot (Ziko, Dolz, Granger & Ben Ayed, "Laplacian Regularized Few-Shot Learning", ICML 2020,
arXiv 2006.15486). Each query has soft labels y. They start as the softmax of minus its squared
distances a to the class means, and then are updated, all at once (algorithm 1)::

    y_q = softmax(-a_q + penalty * sum of y_p over the nearest neighbours p of q among the queries)

which lowers the distances plus a Laplacian term (equation 4) in each step. Features have length
one, as the paper's do. Logits are what the last softmax is taken of.

The inductive form is the nearest class mean: a query without others has no neighbours.

Deviation: the paper's correction of the class means by queries, which it takes from Liu, Song & Qin
2020, is left out. It chooses the penalty by validation; here it is a setting, and its default that
of the authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.embedding_based import unit_length
from metaray.algorithms.methods.heads_config import LaplacianShotConfig
from metaray.algorithms.methods.protonet import class_means, squared_distances
from metaray.algorithms.methods.transductive_head import TransductiveHead
from metaray.algorithms.models.backbone import Backbone


class LaplacianShot(TransductiveHead):
    """The nearest class mean, regularised by the neighbours among the queries."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: LaplacianShotConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs)
        self.config = config

    @override
    def fit(self, params: Mapping[str, Tensor], features: Tensor, one_hot: Tensor) -> Tensor:
        """The class means ``[ways, F]``."""
        return class_means(unit_length(features), one_hot)

    @override
    def scores(self, params: Mapping[str, Tensor], head: Tensor, features: Tensor) -> Tensor:
        return -squared_distances(unit_length(features), head)

    @override
    def scores_together(self, features: Tensor, one_hot: Tensor, queries: Tensor) -> Tensor:
        alone = self.scores({}, self.fit({}, features, one_hot), queries)
        neighbours = self._neighbours(unit_length(queries))
        logits = alone
        for _ in range(self.config.steps):
            labels = logits.softmax(-1)
            logits = alone + self.config.penalty * labels[neighbours].sum(1)
        return logits

    def _neighbours(self, queries: Tensor) -> Tensor:
        """The nearest other queries of each, ``[B, k]``."""
        count = len(queries)
        itself = torch.eye(count, dtype=torch.bool, device=queries.device)
        distances = squared_distances(queries, queries).masked_fill(itself, torch.inf)
        return distances.topk(min(self.config.neighbours, count - 1), largest=False).indices
