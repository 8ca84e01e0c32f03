"""LARS: SGD with momentum in which each layer has a rate of its own.

You, Gitman & Ginsburg, "Large Batch Training of Convolutional Networks" 2017 (arXiv 1708.03888),
algorithm 1; as used by Chen et al. 2020 (SimCLR), who leave norms and biases out of it::

    rate = trust * |w| / (|g| + decay * |w|);   v = momentum * v + lr * rate * (g + decay * w)
    w = w - v
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_TRUST = 1e-3


class LARS(torch.optim.Optimizer):
    """See the module. A group without weight decay is updated as by SGD with momentum."""

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = _TRUST,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self._update(param, param.grad, group)
        return loss

    def _update(self, param: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        rate = torch.ones((), dtype=param.dtype, device=param.device)
        if group["weight_decay"]:
            size = param.norm()
            slope = gradient.norm() + group["weight_decay"] * size
            rate = torch.where((size > 0) & (slope > 0), group["trust"] * size / slope, rate)
            gradient = gradient + group["weight_decay"] * param
        state = self.state[param]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(param)
        velocity = state["momentum_buffer"]
        velocity.mul_(group["momentum"]).add_(gradient * rate * group["lr"])
        param.sub_(velocity)
