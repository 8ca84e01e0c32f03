"""MAML and first-order MAML.

Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks",
ICML 2017 (arXiv 1703.03400). Algorithm 2, equation 1::

    minimise over theta   sum_T  L_T^query( theta - a * grad L_T^support(theta) )

First-order MAML drops the second derivatives (section 5.2): its meta-gradient is the query
gradient at the adapted weights.

Deviations: losses are means over the examples. The authors' code sums over the support set and
divides by the shots, so its inner gradient is N times ours: their 0.4 on 5-way Omniglot is 2.0
here. As in their code, the inner loop leaves scale and shift of batch norm alone; they are
meta-learned.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from metaray.algorithms.algorithm import State, TaskGradient
from metaray.algorithms.configs import BatchNormMode, FOMAMLConfig, MAMLConfig
from metaray.algorithms.episode import Episode
from metaray.algorithms.gradient_based import FastWeights, GradientBased, second_order_form
from metaray.algorithms.inner_loop import Form, descend, meta_gradient
from metaray.algorithms.losses import Kind, figures_of, loss_of
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.norm import is_norm
from metaray.algorithms.parameters import Tensors


class MAML(GradientBased):
    """MAML, or first-order MAML when built from an ``FOMAMLConfig``."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: MAMLConfig | FOMAMLConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs, config)
        self.config = config
        self.form: Form = (
            "first_order"
            if isinstance(config, FOMAMLConfig)
            else second_order_form(config.second_order, config.inner_steps)
        )

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
        return [self.fast_weights(params, support_x, batch_norm) for params in reported]

    def task_gradient(
        self, state: State, episode: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient:
        """Equation 1's gradient for one task, or its first-order form."""

        def query_loss(params: Tensors) -> tuple[Tensor, Tensors]:
            mode = self.config.train_batch_norm
            adapted = self.fast_weights(params, episode.support_x, mode)
            outputs = self.predict(adapted, episode.query_x)
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
