"""Torch's optimizers on a flat vector of parameters, with a rate for each of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from metaray.algorithms.eager_optimizers import SGD, Adam, AdamW
from metaray.algorithms.outer_loop_registry import build_optimizer
from metaray.algorithms.parameters import Layout, Tensors
from metaray.algorithms.transfer.objective import Objective
from metaray.platform.config.transfer import TransferTrainConfig


class FlatOptimizer:
    """Updates ``flat`` in place. Parameters that are frozen keep their momentum until later."""

    def __init__(
        self, flat: Tensor, layout: Layout, objective: Objective, train: TransferTrainConfig
    ) -> None:
        self._layout = layout
        self._params = {n: nn.Parameter(view) for n, view in layout.unflatten(flat).items()}
        groups = [
            {"params": [p], "weight_decay": _decay(name, p, objective, train)}
            for name, p in self._params.items()
        ]
        self._optimizer = _build(groups, train)

    def step(self, gradient: Tensor, lr: float, factors: Mapping[str, float]) -> None:
        """One update.

        Args:
            gradient: flat, as the parameters.
            lr: learning rate.
            factors: of the rate of each parameter, 1 where there is none; 0 leaves it as it is.
        """
        pieces = self._layout.unflatten(gradient)
        for (name, param), group in zip(
            self._params.items(), self._optimizer.param_groups, strict=True
        ):
            factor = factors.get(name, 1.0)
            param.grad = pieces[name] if factor else None
            group["lr"] = lr * factor
        self._optimizer.step()

    def slots(self) -> Tensors:
        """What the optimizer remembers, by slot and parameter: copies on the CPU."""
        found = self._optimizer.state
        return {
            f"{slot}.{name}": value.detach().cpu().clone()
            for name, param in self._params.items()
            for slot, value in found.get(param, {}).items()
        }

    def load(self, slots: Mapping[str, Tensor]) -> None:
        """Remember ``slots`` again."""
        for name, param in self._params.items():
            own = {
                key.removesuffix(f".{name}"): value
                for key, value in slots.items()
                if key.partition(".")[2] == name
            }
            for slot, value in own.items():
                # the number of steps stays on the CPU, as torch has it
                there = value.clone() if slot == "step" else value.to(param.device, copy=True)
                self._optimizer.state[param][slot] = there


def _decay(name: str, param: Tensor, objective: Objective, train: TransferTrainConfig) -> float:
    is_weight = param.ndim > 1  # norms and biases have one dimension
    return train.weight_decay if is_weight and objective.decays(name) else 0.0


def _build(groups: list[dict[str, object]], train: TransferTrainConfig) -> torch.optim.Optimizer:
    if train.optimizer == "adam":
        return Adam(groups, lr=train.lr)
    if train.optimizer == "adamw":
        return AdamW(groups, lr=train.lr)
    if train.optimizer == "lars":
        from metaray.algorithms.transfer.lars import LARS

        return LARS(groups, lr=train.lr, momentum=train.momentum)
    if train.optimizer == "sgd":
        return SGD(groups, lr=train.lr, momentum=train.momentum)
    optimizer: torch.optim.Optimizer = build_optimizer(train.optimizer, groups, train.lr)
    return optimizer
