"""A schedule and an optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def bend(progress: float) -> float:
    """Slow at first: the factor of the learning rate after this share of the training."""
    return 1 - progress**2


class Signs(torch.optim.Optimizer):
    """Steps by the sign of the gradient and of its running mean."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                mean = state.setdefault("mean", torch.zeros_like(param))
                mean.lerp_(param.grad, 0.1)
                param.sub_(group["lr"] * mean.sign())
