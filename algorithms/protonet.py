"""Prototypical networks.

Snell, Swersky & Zemel, "Prototypical Networks for Few-shot Learning", NIPS 2017 (arXiv
1703.05175). The prototype of a class is the mean embedding of its support examples (equation 1);
a query's logits are minus its squared Euclidean distances to the prototypes (equation 2).

Batch norm follows the authors' code: in training, support and query are one batch with its own
statistics, and running statistics are kept; inductive evaluation normalises by those, transductive
evaluation by support and query together.

Deviation: running variances are biased (divided by n), torch's are divided by n - 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import grad

from metaray.algorithms.algorithm import Algorithm, State, TaskGradient
from metaray.algorithms.configs import BatchNormMode, ProtoNetConfig
from metaray.algorithms.episode import Episode
from metaray.algorithms.errors import InputError
from metaray.algorithms.losses import Kind, figures_of
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.parameters import Tensors

_MOMENTUM = 0.1  # share of a new batch in the running statistics, torch's default


class Support(NamedTuple):
    """A support set, with what it takes to place queries beside it."""

    params: Tensors
    x: Tensor
    members: Tensor
    """``[ways, support]``: row n averages the examples of class n"""
    stats: Tensors | None
    """statistics to normalise by; None: those of support and queries together"""


class ProtoNet(Algorithm):
    """Nearest class mean under squared Euclidean distance in a learned embedding."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: ProtoNetConfig
    ) -> None:
        if kind != "classification":
            raise InputError(
                "protonet classifies and cannot learn a regression task: "
                "use maml, fomaml, anil or reptile, or another data set"
            )
        super().__init__(backbone, kind, num_outputs)
        self.config = config

    def init(self, seed: int) -> State:
        """The backbone alone: there is no head."""
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
        return [
            Support(state.params, support_x, _averaging(support_y, ways, support_x.dtype), stats)
        ]

    def predict(self, adapted: Support, x: Tensor) -> Tensor:
        """Minus the squared distance of each query to each prototype, ``[B, ways]``."""
        return self._logits(adapted, x)[0]

    def task_gradient(self, state: State, episode: Episode, ways: int) -> TaskGradient:
        """The gradient of the query loss; the embedding is all there is to learn."""

        members = _averaging(episode.support_y, ways, episode.support_x.dtype)

        def query_loss(params: Tensors) -> tuple[Tensor, tuple[Tensors, Tensors]]:
            support = Support(params, episode.support_x, members, None)
            logits, seen = self._logits(support, episode.query_x)
            figures = figures_of(self.kind, logits, episode.query_y)
            return figures["loss"], (figures, seen)

        gradient, (figures, seen) = grad(query_loss, has_aux=True)(state.params)
        running = {
            name: (1 - _MOMENTUM) * old + _MOMENTUM * seen[name]
            for name, old in state.buffers.items()
        }
        return TaskGradient(gradient, running, figures)

    def _logits(self, support: Support, x: Tensor) -> tuple[Tensor, Tensors]:
        together = torch.cat([support.x, x])
        embedded, seen = self.backbone.apply(support.params, together, support.stats)
        size = support.x.shape[0]
        prototypes = support.members @ embedded[:size]
        return -squared_distances(embedded[size:], prototypes), seen


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """``[A, F]`` and ``[B, F]`` to ``[A, B]``, as one matrix product."""
    return a.square().sum(-1)[:, None] - 2 * a @ b.T + b.square().sum(-1)


def _averaging(y: Tensor, ways: int, dtype: torch.dtype) -> Tensor:
    """Labels ``[support]`` to the matrix ``[ways, support]`` that averages each class."""
    members = F.one_hot(y, ways).T.to(dtype)
    return members / members.sum(1, keepdim=True)
