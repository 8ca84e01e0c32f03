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
        return F.cross_entropy(outputs, y)
    return (outputs - y).square().mean()  # F.mse_loss has no forward over reverse


def metrics_of(kind: Kind, outputs: Tensor, y: Tensor) -> Tensors:
    """``loss``, and for classification ``accuracy``: scalars over the batch."""
    metrics = {"loss": loss_of(kind, outputs, y)}
    if kind == "classification":
        metrics["accuracy"] = (outputs.argmax(-1) == y).to(outputs.dtype).mean()
    return metrics
