"""MAML and first-order MAML.

Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks",
ICML 2017 (arXiv 1703.03400). Algorithm 2, equation 1::

    minimise over theta   sum_T  L_T^query( theta - a * grad L_T^support(theta) )

First-order MAML drops the second derivatives (section 5.2): its meta-gradient is the query
gradient at the adapted weights.

Deviations: losses are means over the examples. The authors' code sums over the support set and
divides by the shots, so its inner gradient is N times ours: their 0.4 on 5-way Omniglot is 2.0
here. As in their code, the inner loop leaves scale and shift of batch norm alone; they are
meta-learned. Their batch norm has a shift, no scale, and an epsilon of 1e-3 (here 1e-5), and their
head for Omniglot starts from a normal distribution of standard deviation 1 (here Glorot-uniform).
Their test turns each class of an episode by a random multiple of 90 degrees; the recipe tests
upright classes, and ``evaluate.rotations = classes`` comes close to theirs (there, two turns of one
character cannot meet).
"""

from __future__ import annotations

from typing_extensions import override

from metaray.algorithms.inner_loop import Rates
from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.gradient_based import (
    GradientAdaptation,
    equal_rates,
    second_order_form,
)
from metaray.algorithms.methods.maml_config import FOMAMLConfig, MAMLConfig
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.parameters import Tensors


class MAML(GradientAdaptation):
    """MAML, or first-order MAML when built from an ``FOMAMLConfig``."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: MAMLConfig | FOMAMLConfig
    ) -> None:
        form = (
            "first_order"
            if isinstance(config, FOMAMLConfig)
            else second_order_form(config.second_order, config.inner_steps)
        )
        super().__init__(backbone, kind, num_outputs, config, form)
        self.config = config

    @override
    def rates(self, params: Tensors) -> Rates:
        """``inner_lr`` for all but scale and shift of batch norm."""
        return equal_rates(params, self.config.inner_lr)
