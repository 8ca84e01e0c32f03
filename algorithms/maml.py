"""MAML and first-order MAML.

Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks",
ICML 2017 (arXiv 1703.03400). Algorithm 2, equation 1::

    minimise over theta   sum_T  L_T^query( theta - a * grad L_T^support(theta) )

First-order MAML drops the second derivatives (section 5.2): its meta-gradient is the query
gradient at the adapted weights.

Deviations: losses are means over the examples. The authors' code sums over the support set and
divides by the shots, so its inner gradient is N times ours: their 0.4 on 5-way Omniglot is 2.0
here. As in their code, the inner loop leaves scale and shift of batch norm alone; they are
meta-learned. Inductive batch norm, which the paper has not, normalises queries by the statistics
of the support set under the adapted weights.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from metaray.algorithms.algorithm import Algorithm, State, TaskGradient, curve_steps
from metaray.algorithms.configs import BatchNormMode, FOMAMLConfig, MAMLConfig, SecondOrder
from metaray.algorithms.episode import Episode
from metaray.algorithms.inner_loop import Form, descend, meta_gradient
from metaray.algorithms.losses import Kind, figures_of, loss_of
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.head import apply_head
from metaray.algorithms.models.norm import is_norm
from metaray.algorithms.parameters import Tensors

_UNROLL_UP_TO = 3  # inner steps; beyond, the graph costs more memory than unrolling saves time


class FastWeights(NamedTuple):
    """A network after adaptation."""

    params: Tensors
    stats: Tensors | None
    """statistics to normalise by; None: those of the batch that is predicted"""


class MAML(Algorithm):
    """MAML, or first-order MAML when built from an ``FOMAMLConfig``."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: MAMLConfig | FOMAMLConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs)
        self.config = config
        self.form: Form = (
            "first_order"
            if isinstance(config, FOMAMLConfig)
            else second_order_form(config.second_order, config.inner_steps)
        )

    @property
    def reported_steps(self) -> tuple[int, ...]:
        """Up to ``eval_inner_steps``."""
        return curve_steps(self.config.eval_inner_steps)

    def adapt(
        self,
        state: State,
        support_x: Tensor,
        support_y: Tensor,
        ways: int,
        batch_norm: BatchNormMode,
    ) -> list[Any]:
        """Fast weights after each of ``reported_steps``."""
        trajectory = descend(
            lambda params: self._support_loss(params, support_x, support_y),
            state.params,
            self._rates(state.params),
            self.config.eval_inner_steps,
        )
        reported = [trajectory[step] for step in self.reported_steps]
        return [FastWeights(p, self._stats(p, support_x, batch_norm)) for p in reported]

    def predict(self, adapted: FastWeights, x: Tensor) -> Tensor:
        """Outputs of the adapted network."""
        features, _ = self.backbone.apply(adapted.params, x, adapted.stats)
        return apply_head(adapted.params, features)

    def task_gradient(self, state: State, episode: Episode, ways: int) -> TaskGradient:
        """Equation 1's gradient for one task, or its first-order form."""

        def query_loss(params: Tensors) -> tuple[Tensor, Tensors]:
            stats = self._stats(params, episode.support_x, self.config.train_batch_norm)
            outputs = self.predict(FastWeights(params, stats), episode.query_x)
            figures = figures_of(self.kind, outputs, episode.query_y)
            return figures["loss"], figures

        gradient, figures = meta_gradient(
            self.form,
            lambda params: self._support_loss(params, episode.support_x, episode.support_y),
            query_loss,
            state.params,
            self._rates(state.params),
            self.config.inner_steps,
        )
        return TaskGradient(gradient, state.buffers, figures)

    def _support_loss(self, params: Tensors, x: Tensor, y: Tensor) -> Tensor:
        return loss_of(self.kind, self.predict(FastWeights(params, None), x), y)

    def _rates(self, params: Tensors) -> dict[str, float]:
        return {name: self.config.inner_lr for name in params if not is_norm(name)}

    def _stats(self, params: Tensors, support_x: Tensor, mode: BatchNormMode) -> Tensors | None:
        if mode == "transductive":
            return None
        return self.backbone.apply(params, support_x, None)[1]


def second_order_form(choice: SecondOrder, inner_steps: int) -> Form:
    """The form that ``auto`` stands for: both are exact, they differ in memory and speed."""
    if choice == "auto":
        return "unrolled" if inner_steps <= _UNROLL_UP_TO else "recursion"
    return choice
