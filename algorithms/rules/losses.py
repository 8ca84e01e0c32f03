"""The losses of ``algorithms/losses.py`` with their derivatives, over a leading task axis."""

from __future__ import annotations

import torch
from torch import Tensor

from metaray.algorithms.losses import Kind
from metaray.algorithms.parameters import Tensors


def residual(kind: Kind, outputs: Tensor, y: Tensor) -> Tensor:
    """Derivative of the mean loss of each task with respect to ``outputs`` ``[T, B, N]``."""
    if kind == "regression":
        return 2 * (outputs - y) / outputs[0].numel()
    p = outputs.softmax(-1)
    return p.scatter_add_(-1, y[..., None], -torch.ones_like(p[..., :1])).div_(y.shape[1])


def residual_tangent(kind: Kind, outputs: Tensor, along: Tensor) -> Tensor:
    """The derivative of ``residual`` along ``along``, a direction of the outputs."""
    if kind == "regression":
        return 2 * along / outputs[0].numel()
    p = outputs.softmax(-1)
    return p * (along - (p * along).sum(-1, keepdim=True)) / outputs.shape[1]


def task_metrics(kind: Kind, outputs: Tensor, y: Tensor) -> Tensors:
    """``loss`` and, for classification, ``accuracy``: ``[T]`` each."""
    if kind == "regression":
        return {"loss": (outputs - y).square().mean((1, 2))}
    nll = -outputs.log_softmax(-1).gather(-1, y[..., None]).mean((1, 2))
    return {"loss": nll, "accuracy": (outputs.argmax(-1) == y).to(outputs.dtype).mean(1)}
