"""Layer-wise adaptive rate scaling (LARS), for SGD with large batches.

You, Gitman & Ginsburg, "Large Batch Training of Convolutional Networks", 2017 (arXiv 1708.03888),
algorithm 1. For each layer w with gradient g, momentum m, weight decay b and trust coefficient t::

    local rate = t |w| / (|g| + b |w|)
    v <- m v + rate * local rate * (g + b w)
    w <- w - v

Biases and what scales and shifts a norm (tensors of one dimension) are neither adapted nor decayed,
as is usual since; neither is a layer of zeros adapted, nor one without a
gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.eager_optimizers import EagerOptimizer


class LARS(EagerOptimizer):
    """SGD with momentum, in which each layer has its own rate.

    Args:
        params: tensors, or groups of them with separate settings.
        lr: the rate.
        momentum: share of the last step that stays.
        weight_decay: b above.
        trust: t above.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
    ) -> None:
        settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust}
        super().__init__(params, settings)

    @torch.no_grad()
    @override
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._move(p, p.grad, group)
        return loss

    def _move(self, p: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        rate = torch.as_tensor(group["lr"], dtype=p.dtype, device=p.device)
        if p.ndim > 1:
            size, decay = p.norm(), group["weight_decay"]
            local = group["trust"] * size / (gradient.norm() + decay * size)
            rate = rate * torch.where((size > 0) & (gradient.norm() > 0), local, 1.0)
            gradient = gradient + decay * p
        state = self.state[p]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(p)
        velocity: Tensor = state["momentum_buffer"]
        velocity.mul_(group["momentum"]).add_(rate * gradient)
        p.sub_(velocity)
