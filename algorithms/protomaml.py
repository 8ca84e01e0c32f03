"""ProtoMAML.

Triantafillou et al., "Meta-Dataset: A Dataset of Datasets for Learning to Learn from Few Examples",
ICLR 2020 (arXiv 1903.03096), section 2. MAML whose linear head is not learned but starts, in every
task, as the prototypical network (Snell et al. 2017, equation 8): class k with mean embedding c_k
has weight and bias::

    w_k = 2 c_k        b_k = - |c_k|^2

Then all weights take gradient steps on the support set. The meta-gradient flows through the start
of the head into the embedding, also in first order, which is the published form: there the inner
gradients count as constants, the start does not. As the head is made for each task, training may
have another number of classes than the test.

Deviations: losses are means over the examples. As in ``maml``, scale and shift of batch norm are
meta-learned but not adapted. The paper varies ways and shots from episode to episode and starts
from a network that was trained as a classifier; neither is done here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import vjp

from metaray.algorithms.algorithm import State, TaskGradient
from metaray.algorithms.configs import BatchNormMode, ProtoMAMLConfig
from metaray.algorithms.embedding_based import one_hot
from metaray.algorithms.episode import Episode
from metaray.algorithms.gradient_based import GradientBased, second_order_form
from metaray.algorithms.inner_loop import Form, InnerStep, Rates, descend, meta_gradient
from metaray.algorithms.losses import Kind
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.head import HEAD
from metaray.algorithms.models.norm import is_norm
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.protonet import class_means


class ProtoMAML(GradientBased):
    """MAML from a head of prototypes."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: ProtoMAMLConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs, config)
        self.config = config
        self.form: Form = (
            "first_order"
            if config.second_order == "none"
            else second_order_form(config.second_order, config.inner_steps)
        )

    def init_params(self, network: Tensors, generator: torch.Generator) -> Tensors:
        """The backbone alone."""
        return {name: p for name, p in network.items() if name not in HEAD}

    def adapt(
        self,
        state: State,
        support_x: Tensor,
        support_y: Tensor,
        ways: int,
        batch_norm: BatchNormMode,
    ) -> list[Any]:
        """Fast weights after each of ``reported_steps``."""
        start = state.params | self.prototype_head(state.params, support_x, support_y, ways)
        trajectory = descend(
            lambda params: self.support_loss(params, support_x, support_y),
            start,
            self._rates(start),
            self.config.eval_inner_steps,
        )
        reported = [trajectory[step] for step in self.reported_steps]
        return [self.fast_weights(params, support_x, batch_norm) for params in reported]

    def task_gradient(
        self, state: State, episode: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient:
        """The meta-gradient: of the start of the inner loop, then of the head's start in turn."""
        x, y = episode.support_x, episode.support_y

        def query_loss(params: Tensors) -> tuple[Tensor, Tensors]:
            figures = self.query_figures(params, episode, self.config.train_batch_norm)
            return figures["loss"], figures

        head, pull_back = vjp(lambda p: self.prototype_head(p, x, y, ways), state.params)[:2]
        start = state.params | head
        step = InnerStep(lambda params: self.support_loss(params, x, y), self._rates(start))
        last = self.config.inner_steps
        gradient, figures, _ = meta_gradient(self.form, [step] * last, {last: query_loss}, start)
        (through_head,) = pull_back({name: gradient[name] for name in head})
        total = {name: gradient[name] + through_head[name] for name in state.params}
        return TaskGradient(total, state.buffers, figures[last])

    def prototype_head(self, params: Tensors, x: Tensor, y: Tensor, ways: int) -> Tensors:
        """Weight ``[ways, feature_dim]`` and bias ``[ways]`` of the prototypes of a support set."""
        features, _ = self.backbone.apply(params, x, None)
        means = class_means(features, one_hot(y, ways, features.dtype))
        return {HEAD[0]: 2 * means, HEAD[1]: -means.square().sum(-1)}

    def _rates(self, params: Tensors) -> Rates:
        return {name: self.config.inner_lr for name in params if not is_norm(name)}
