"""Losses and the metrics that go with them."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from metaray.algorithms.parameters import Tensors

Kind = Literal["classification", "regression"]


def loss_of(kind: Kind, outputs: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of logits ``[B, N]``, or mean squared error of outputs ``[B, 1]``."""
    if kind == "classification":
        return cross_entropy(outputs, y)
    return (outputs - y).square().mean()  # F.mse_loss has no forward over reverse


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy of logits ``[B, N]``, for use under ``torch.func.vmap``.

    There ``F.cross_entropy`` is run by torch's tables of decompositions, which import sympy and
    torch's symbolic shapes for a check: a second in every process of a run. On a CPU the bits of
    the loss and of its derivatives are the same as under ``vmap`` there.
    """
    chosen = F.log_softmax(logits, -1).gather(-1, y[:, None])
    return -(chosen.sum() / len(y))


def metrics_of(kind: Kind, outputs: Tensor, y: Tensor) -> Tensors:
    """``loss``, and for classification ``accuracy``: scalars over the batch."""
    metrics = {"loss": loss_of(kind, outputs, y)}
    if kind == "classification":
        metrics["accuracy"] = _accuracy(outputs, y)
    return metrics


def metrics_of_batch(logits: Tensor, y: Tensor) -> Tensors:
    """``loss`` and ``accuracy`` of logits ``[B, N]``, outside ``torch.func.vmap``."""
    return {"loss": F.cross_entropy(logits, y), "accuracy": _accuracy(logits, y)}


def _accuracy(logits: Tensor, y: Tensor) -> Tensor:
    return (logits.argmax(-1) == y).to(logits.dtype).mean()
