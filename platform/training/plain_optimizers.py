"""SGD and Adam as torch has them for single tensors: the same numbers, to the bit.

The first optimizer of ``torch.optim`` in a process imports all of torch's compiler, only to ask it
at every step whether it is at work. That takes longer than to import torch, in each process of a
run. These have what the platform uses of ``torch.optim.Optimizer``: groups of parameters with
settings of their own, which may change from step to step, and slots of state by parameter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

Group = dict[str, Any]
Slots = dict[str, Tensor]


class PlainOptimizer(ABC):
    """Updates parameters in place by their ``grad``; those without one stay as they are.

    Args:
        groups: each with its ``params``, and with settings that are not those of all.
        settings: of all groups.
    """

    def __init__(self, groups: Iterable[Mapping[str, Any]], **settings: Any) -> None:
        self.param_groups: list[Group] = [settings | dict(group) for group in groups]
        self.state: dict[nn.Parameter, Slots] = defaultdict(dict)

    @torch.no_grad()
    def step(self) -> None:
        """One update of all parameters."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self.update(param, param.grad, self.state[param], group)

    @abstractmethod
    def update(self, param: Tensor, gradient: Tensor, slots: Slots, group: Group) -> None:
        """One update of one parameter."""


class SGD(PlainOptimizer):
    """``torch.optim.SGD``, of which it has the settings lr, momentum and weight_decay."""

    @override
    def update(self, param: Tensor, gradient: Tensor, slots: Slots, group: Group) -> None:
        if group.get("weight_decay"):
            gradient = gradient.add(param, alpha=group["weight_decay"])
        if momentum := group.get("momentum"):
            before = slots.get("momentum_buffer")
            slots["momentum_buffer"] = gradient = (
                gradient.clone() if before is None else before.mul_(momentum).add_(gradient)
            )
        param.add_(gradient, alpha=-group["lr"])


class Adam(PlainOptimizer):
    """``torch.optim.Adam``, of which it has the settings lr and weight_decay."""

    betas = (0.9, 0.999)
    epsilon = 1e-8

    @override
    def update(self, param: Tensor, gradient: Tensor, slots: Slots, group: Group) -> None:
        lr, (beta1, beta2) = group["lr"], self.betas
        gradient = self.decay(param, gradient, lr, group.get("weight_decay", 0.0))
        if not slots:
            slots["step"] = torch.tensor(0.0)
            slots["exp_avg"] = torch.zeros_like(param)
            slots["exp_avg_sq"] = torch.zeros_like(param)
        slots["step"] += 1
        slots["exp_avg"].lerp_(gradient, 1 - beta1)
        slots["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        step = slots["step"].item()
        root = (1 - beta2**step) ** 0.5
        scale = (slots["exp_avg_sq"].sqrt() / root).add_(self.epsilon)
        param.addcdiv_(slots["exp_avg"], scale, value=-(lr / (1 - beta1**step)))

    def decay(self, param: Tensor, gradient: Tensor, lr: float, weight_decay: float) -> Tensor:
        """The gradient with that of the decay, where it is a part of the loss."""
        return gradient.add(param, alpha=weight_decay) if weight_decay else gradient


class AdamW(Adam):
    """``torch.optim.AdamW``: the decay is no part of the loss."""

    @override
    def decay(self, param: Tensor, gradient: Tensor, lr: float, weight_decay: float) -> Tensor:
        """The gradient as it is; the parameter is decayed."""
        param.mul_(1 - lr * weight_decay)
        return gradient
