"""What MAML, ANIL and Reptile share: a network whose weights are adapted by gradient steps."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from metaray.algorithms.algorithm import Algorithm, curve_steps
from metaray.algorithms.configs import BatchNormMode, SecondOrder
from metaray.algorithms.inner_loop import Form
from metaray.algorithms.losses import Kind
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.head import apply_head
from metaray.algorithms.parameters import Tensors

_UNROLL_UP_TO = 3  # inner steps; beyond, the graph costs more memory than unrolling saves time


class FastWeights(NamedTuple):
    """A network after adaptation."""

    params: Tensors
    stats: Tensors | None
    """statistics to normalise by; None: those of the batch that is predicted"""


class AdaptationConfig(Protocol):
    """What every gradient-based method can be told."""

    @property
    def eval_inner_steps(self) -> int:
        """Inner gradient steps in validation and test."""


class GradientBased(Algorithm):
    """A backbone with a linear head, both of which an inner loop may change.

    Inductive batch norm, which the papers do not have, normalises queries by the statistics of the
    support set under the adapted weights.
    """

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: AdaptationConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs)
        self._eval_inner_steps = config.eval_inner_steps

    @property
    def reported_steps(self) -> tuple[int, ...]:
        """Up to ``eval_inner_steps``."""
        return curve_steps(self._eval_inner_steps)

    def predict(self, adapted: FastWeights, x: Tensor) -> Tensor:
        """Outputs of the adapted network."""
        features, _ = self.backbone.apply(adapted.params, x, adapted.stats)
        return apply_head(adapted.params, features)

    def fast_weights(self, params: Tensors, support_x: Tensor, mode: BatchNormMode) -> FastWeights:
        """``params`` with the statistics that ``mode`` asks for."""
        if mode == "transductive":
            return FastWeights(params, None)
        return FastWeights(params, self.backbone.apply(params, support_x, None)[1])


def second_order_form(choice: SecondOrder, inner_steps: int) -> Form:
    """The form that ``auto`` stands for: both are exact, they differ in memory and speed."""
    if choice == "auto":
        return "unrolled" if inner_steps <= _UNROLL_UP_TO else "recursion"
    return choice
