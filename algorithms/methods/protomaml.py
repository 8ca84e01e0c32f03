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

The recipe normalises queries by the statistics of the support set under the adapted weights, in
training and in the test ("inductive"), as the authors' configuration does
(``transductive_batch_norm = False``). The gradient flows through these statistics.

Deviations: losses are means over the examples. As in ``maml``, scale and shift of batch norm are
meta-learned but not adapted. The paper varies ways and shots from episode to episode, which
``task.sampler = varying`` does and the recipe does not, and starts from a network that was trained
as a classifier, for which there is ``init.checkpoint``. The configuration whose
values the recipe takes (from scratch) has a ResNet on images of 126 pixels and a weight decay of
3.6e-5; here it is a conv4 on the images of the data set, without weight decay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.inner_loop import Rates
from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.embedding_based import one_hot
from metaray.algorithms.methods.gradient_based import (
    GradientAdaptation,
    equal_rates,
    second_order_form,
)
from metaray.algorithms.methods.protomaml_config import ProtoMAMLConfig
from metaray.algorithms.methods.protonet import class_means
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.head import HEAD
from metaray.algorithms.parameters import Tensors


class ProtoMAML(GradientAdaptation):
    """MAML from a head of prototypes."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: ProtoMAMLConfig
    ) -> None:
        form = (
            "first_order"
            if config.second_order == "none"
            else second_order_form(config.second_order, config.inner_steps)
        )
        super().__init__(backbone, kind, num_outputs, config, form)
        self.config = config

    @override
    def init_params(self, network: Tensors, generator: torch.Generator) -> Tensors:
        """The backbone alone."""
        return {name: p for name, p in network.items() if name not in HEAD}

    @override
    def start(self, params: Tensors, x: Tensor, y: Tensor, ways: int) -> Tensors:
        """The backbone, and the head ``[ways, feature_dim]`` of the support set's prototypes."""
        features, _ = self.backbone.apply(params, x, None)
        means = class_means(features, one_hot(y, ways, features.dtype))
        return params | {HEAD[0]: 2 * means, HEAD[1]: -means.square().sum(-1)}

    @override
    def start_by_rules(
        self, params: Tensors, support: Any, y: Tensor, ways: int
    ) -> tuple[Tensors, Callable[[Tensors], Tensors]]:
        features, trace = self.body.forward(params, support)
        labels = (y[..., None] == torch.arange(ways, device=y.device)).to(features.dtype)
        shares = labels / labels.sum(1, keepdim=True)  # [T, S, ways]
        means = torch.bmm(shares.transpose(1, 2), features)
        head = {HEAD[0]: 2 * means.transpose(1, 2), HEAD[1]: -means.square().sum(-1)}

        def pull_back(gradient: Tensors) -> Tensors:
            of_means = 2 * gradient[HEAD[0]].transpose(1, 2)
            of_means = of_means - 2 * means * gradient[HEAD[1]][..., None]
            through = self.body.backward(trace, torch.bmm(shares, of_means))[1]
            return {name: gradient[name] + through[name] for name in params}

        return params | head, pull_back

    @override
    def rates(self, params: Tensors) -> Rates:
        """``inner_lr`` for all but scale and shift of batch norm."""
        return equal_rates(params, self.config.inner_lr)
