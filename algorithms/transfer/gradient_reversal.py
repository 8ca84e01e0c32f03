"""The gradient reversal layer: the identity, whose gradient comes back negated and scaled.

Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17 (2016), section 4.2::

    R(x) = x        dR/dx = -lambda I

What lies behind it descends its loss by the whole gradient; what lies before it ascends by lambda
of it.
"""

from __future__ import annotations

from math import exp
from typing import Any

from torch import Tensor
from torch.autograd import Function
from typing_extensions import override


class _Reversal(Function):
    generate_vmap_rule = True

    @staticmethod
    @override
    def forward(x: Tensor, factor: float) -> Tensor:
        return x.view_as(x)

    @staticmethod
    @override
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.factor = inputs[1]

    @staticmethod
    @override
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * grads[0], None


def reverse_gradient(x: Tensor, factor: float) -> Tensor:
    """``x`` itself, whose gradient is multiplied by ``-factor``."""
    reversed_: Tensor = _Reversal.apply(x, factor)
    return reversed_


def reversal_at(progress: float) -> float:
    """lambda when ``progress`` of all steps are done: 0 at the start, 0.9999 at the end.

    >>> reversal_at(0.0)
    0.0
    >>> round(reversal_at(1.0), 4)
    0.9999
    """
    return 2 / (1 + exp(-10 * progress)) - 1
