"""Meta-SGD.

Li, Zhou, Chen & Li, "Meta-SGD: Learning to Learn Quickly for Few-Shot Learning", 2017 (arXiv
1707.09835). Algorithm 1, equation 3: the initialisation and, beside it, a step size of every
parameter are meta-learned, so that the direction of the one inner step is learned too::

    minimise over theta, alpha   sum_T  L_T^query( theta - alpha * grad L_T^support(theta) )

``alpha`` has the shape of ``theta`` and the product is elementwise. It starts uniform in
(0.005, 0.1) and, as in the paper, nothing keeps it positive: where that lowers the query loss, a
parameter may climb its gradient.

Deviations: losses are means over the examples. Scale and shift of batch norm are meta-learned but
not adapted, as in ``maml``, so that constant rates are exactly MAML. More than one inner step is
possible; all of them share ``alpha``.
"""

from __future__ import annotations

import torch
from typing_extensions import override

from metaray.algorithms.inner_loop import Rates
from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.gradient_based import (
    GradientAdaptation,
    rate_name,
    second_order_form,
)
from metaray.algorithms.methods.metasgd_config import MetaSGDConfig
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.norm import is_norm
from metaray.algorithms.parameters import Tensors


class MetaSGD(GradientAdaptation):
    """One meta-learned step size per parameter."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: MetaSGDConfig
    ) -> None:
        form = second_order_form(config.second_order, config.inner_steps)
        super().__init__(backbone, kind, num_outputs, config, form)
        self.config = config

    @override
    def init_params(self, network: Tensors, generator: torch.Generator) -> Tensors:
        """The network, and the step size of each parameter that is adapted."""
        low, high = self.config.inner_lr_low, self.config.inner_lr_high
        rates = {
            rate_name(name): low + (high - low) * torch.rand(p.shape, generator=generator)
            for name, p in network.items()
            if not is_norm(name)
        }
        return network | rates

    @override
    def rates(self, params: Tensors) -> Rates:
        """The name under which each step size is kept."""
        return {name: rate_name(name) for name in params if rate_name(name) in params}
