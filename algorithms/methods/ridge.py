"""Ridge regression of the labels on features, in closed form.

R2-D2 (Bertinetto, Henriques, Torr & Vedaldi, "Meta-learning with Differentiable Closed-form
Solvers", ICLR 2019, arXiv 1805.08136). The weights of a task are (equations 4 and 5)::

    W = (X^T X + penalty I)^-1 X^T Y = X^T (X X^T + penalty I)^-1 Y

with features X ``[S, F]`` and one-hot labels Y, by whichever is smaller. Logits are scale * x W.
Penalty and scale are meta-parameters (equation 6), kept as logarithms so that they stay positive;
without training they are the settings.

Deviations: no offset is added to the logits, since one that all classes share changes no
probability. Features have length one unless ``method.normalise`` is false, as in the paper: a
penalty then means the same for every encoder. The starts of penalty and scale are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.feature_head import ScaledHead
from metaray.algorithms.methods.heads_config import RidgeConfig
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.parameters import Tensors

_PENALTY, _SCALE = "ridge.log_penalty", "ridge.log_scale"


class RidgeRegression(ScaledHead):
    """A linear head in closed form."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: RidgeConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs, config.normalise)
        self.config = config

    @override
    def init_own(self, generator: torch.Generator) -> tuple[Tensors, Tensors]:
        starts = {_PENALTY: self.config.penalty, _SCALE: self.config.scale}
        return {name: torch.tensor(log(value)) for name, value in starts.items()}, {}

    @override
    def fit(self, params: Mapping[str, Tensor], features: Tensor, one_hot: Tensor) -> Tensor:
        """The weights ``[F, ways]``."""
        return ridge_weights(self.placed(features), one_hot, params[_PENALTY].exp())

    @override
    def scores(self, params: Mapping[str, Tensor], head: Tensor, features: Tensor) -> Tensor:
        return params[_SCALE].exp() * self.placed(features) @ head


def ridge_weights(x: Tensor, y: Tensor, penalty: Tensor) -> Tensor:
    """Weights ``[F, ways]`` of the regression of ``y`` ``[S, ways]`` on ``x`` ``[S, F]``."""
    examples, size = x.shape
    eye = torch.eye(min(examples, size), dtype=x.dtype, device=x.device)
    if examples <= size:
        dual: Tensor = torch.linalg.solve(x @ x.T + penalty * eye, y)
        return x.T @ dual
    weights: Tensor = torch.linalg.solve(x.T @ x + penalty * eye, x.T @ y)
    return weights
