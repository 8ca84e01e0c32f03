"""Power transform and optimal transport, on frozen features.

PT-MAP (Hu, Gripon & Pateux, "Leveraging the Feature Distribution in Transfer-based Few-Shot
Learning", ICANN 2021, arXiv 2006.03806). Each feature is raised to a power, which makes its
distribution more like a Gaussian one, and scaled to length one (equation 2). As in the authors'
code, support set and queries are then centred, each by its own mean, and scaled again. The centres
start as the class means of the support set. In each step queries are assigned to them by a
transport plan (Cuturi 2013) that gives every class the same number of queries (equation 3), and the
centres move part of the way to the means of what is assigned to them (equations 4 to 6). Logits are
the logarithms of the last plan.

So it relies on the same number of queries in each class, as test episodes have it. Pictures of
users need not be like that.

The inductive form is the nearest class mean of features that were transformed in the same way, both
centred by the mean of the support set.

Deviations: features below zero keep their sign, where the paper has features after ReLU only. The
plan of a step starts from that of the step before and takes a fixed number of iterations, so that
tasks can be computed together; the authors iterate until it changes by less than 1e-6.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.embedding_based import unit_length
from metaray.algorithms.methods.heads_config import PTMAPConfig
from metaray.algorithms.methods.protonet import class_means, squared_distances
from metaray.algorithms.methods.transductive_head import TransductiveHead
from metaray.algorithms.models.backbone import Backbone

_LEAST = 1e-6  # added to each feature, as in the authors' code: the slope of the power is finite
_MORE = 4  # times the iterations for the first plan, which starts from nothing, and for the last


class Centres(NamedTuple):
    """What a support set comes to without queries."""

    means: Tensor  # [ways, F]
    middle: Tensor  # [F]
    """mean of the transformed support set"""


class PowerTransport(TransductiveHead):
    """Centres that move to where the queries are."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: PTMAPConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs)
        self.config = config

    @override
    def fit(self, params: Mapping[str, Tensor], features: Tensor, one_hot: Tensor) -> Centres:
        spread = self._spread(features)
        middle = spread.mean(0)
        return Centres(class_means(unit_length(spread - middle), one_hot), middle)

    @override
    def scores(self, params: Mapping[str, Tensor], head: Centres, features: Tensor) -> Tensor:
        queries = unit_length(self._spread(features) - head.middle)
        return -self.config.sinkhorn_lambda * squared_distances(queries, head.means)

    @override
    def scores_together(self, features: Tensor, one_hot: Tensor, queries: Tensor) -> Tensor:
        support, asked = self._spread(features), self._spread(queries)
        support, asked = unit_length(support - support.mean(0)), unit_length(asked - asked.mean(0))
        centres = class_means(support, one_hot)
        of_classes = torch.zeros_like(centres[:, 0])
        few = self.config.sinkhorn_iterations
        for step in range(self.config.steps):
            plan, of_classes = self._plan(asked, centres, of_classes, few if step else few * _MORE)
            assigned = torch.cat([one_hot, plan.exp()])
            means = class_means(torch.cat([support, asked]), assigned)
            centres = centres + self.config.step_size * (means - centres)
        return self._plan(asked, centres, of_classes, few * _MORE)[0]

    def _spread(self, features: Tensor) -> Tensor:
        """Features ``[B, F]`` after the power transform, of length one."""
        size = (features.abs() + _LEAST) ** self.config.power
        return unit_length(torch.where(features < 0, -size, size))

    def _plan(
        self, queries: Tensor, centres: Tensor, of_classes: Tensor, iterations: int
    ) -> tuple[Tensor, Tensor]:
        """Logarithms of the transport plan ``[B, ways]``, and of the factors of its columns.

        Each row sums to one, and each column to the number of queries in a class.
        """
        kernel = -self.config.sinkhorn_lambda * squared_distances(queries, centres)
        return balanced(kernel, of_classes, iterations)


def balanced(kernel: Tensor, of_columns: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Scale rows and columns of a positive matrix in turn, in logarithms (Sinkhorn 1967).

    Args:
        kernel: logarithms of the matrix, ``[B, N]``.
        of_columns: logarithms of the factors to start from, ``[N]``.
        iterations: how often.

    Returns:
        The logarithms of a matrix whose rows sum to one, and whose columns, as far as the
        iterations go, to ``B / N``; and those of the factors of its columns.
    """
    each = torch.full_like(of_columns, kernel.shape[0] / kernel.shape[1]).log()
    for _ in range(iterations):
        of_rows = -torch.logsumexp(kernel + of_columns, -1, keepdim=True)
        of_columns = each - torch.logsumexp(kernel + of_rows, 0)
    return torch.log_softmax(kernel + of_columns, -1), of_columns
