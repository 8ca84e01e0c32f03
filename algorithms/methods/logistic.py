"""Logistic regression on the frozen features of a support set.

Tian, Wang, Krishnan, Tenenbaum & Isola, "Rethinking Few-Shot Image Classification: a Good Embedding
Is All You Need?", ECCV 2020 (arXiv 2003.11539), section 3.2: on features of length one, weights W
and biases b minimise ::

    sum_i cross_entropy(W x_i + b, y_i)  +  penalty / 2  |W|^2

which is scikit-learn's ``LogisticRegression`` with C = 1 / penalty.

With S examples the optimum lies in their span: W = X^T a / penalty, and logits are f = K a + b with
the kernel K = X X^T / penalty. Newton's method in a and b takes a solve of size S for each class
and one for all (Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006, algorithm
3.3; the biases, which it does not have, are eliminated afterwards). Each step takes the best of a
few lengths, and their number is fixed, so the result is a function of the support set alone.

The gradient of training is exact at the optimum: the last step alone is differentiated, and there
Newton's step has the derivative of the implicit function.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.feature_head import ScaledHead
from metaray.algorithms.methods.heads_config import LogisticConfig
from metaray.algorithms.models.backbone import Backbone

_LENGTHS = (1.0, 0.5, 0.25, 0.1, 0.01)
_FAVOUR = 1e-5


class Linear(NamedTuple):
    """Weights and biases."""

    weight: Tensor  # [ways, F]
    bias: Tensor  # [ways]


class LogisticRegression(ScaledHead):
    """A linear head that is fitted to the end."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: LogisticConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs, config.normalise)
        self.config = config

    @override
    def fit(self, params: Mapping[str, Tensor], features: Tensor, one_hot: Tensor) -> Linear:
        x = self.placed(features)
        kernel = x @ x.T / self.config.penalty
        dual, bias = minimized(kernel, one_hot, self.config.newton_steps)
        return Linear(dual.T @ x / self.config.penalty, bias)

    @override
    def scores(self, params: Mapping[str, Tensor], head: Linear, features: Tensor) -> Tensor:
        return self.placed(features) @ head.weight.T + head.bias


def minimized(kernel: Tensor, one_hot: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Dual weights ``[S, ways]`` and biases ``[ways]`` after so many Newton steps from zero."""
    fixed = kernel.detach()
    dual, bias = torch.zeros_like(one_hot), torch.zeros_like(one_hot[0])
    for _ in range(steps - 1):
        best = _newton(fixed, fixed @ dual + bias, one_hot)
        dual, bias = _shortened(fixed, one_hot, (dual, bias), best)
    return _newton(kernel, fixed @ dual + bias, one_hot)


def _newton(kernel: Tensor, logits: Tensor, one_hot: Tensor) -> tuple[Tensor, Tensor]:
    """The optimum of the second-order model of the loss at ``logits`` ``[S, ways]``."""
    p = logits.softmax(-1)
    slope = p * (logits - (p * logits).sum(-1, keepdim=True)) + one_hot - p
    of_bias = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]  # [S, ways, ways]
    right = torch.cat([slope[..., None], of_bias], -1)
    root = p.T.sqrt()  # [ways, S]
    eye = torch.eye(len(kernel), dtype=kernel.dtype, device=kernel.device)
    inner = eye + root[:, :, None] * kernel * root[:, None, :]
    each = root[:, :, None] * torch.linalg.solve(inner, torch.diag_embed(root))  # [ways, S, S]
    moved = torch.einsum("cij,jcr->icr", each, torch.einsum("ij,jcr->icr", kernel, right))
    common = torch.linalg.solve(each.sum(0), moved.sum(1))
    solved = right - moved + torch.einsum("cij,jr->icr", each, common)
    totals = solved.sum(0)  # [ways, 1 + ways], whose sum over the classes is zero
    bias = torch.linalg.solve(totals[:, 1:] + 1 / len(totals), totals[:, 0])
    return solved[..., 0] - solved[..., 1:] @ bias, bias


def _shortened(
    kernel: Tensor, one_hot: Tensor, at: tuple[Tensor, Tensor], best: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """The step from ``at`` towards ``best`` whose length lowers the loss most."""
    lengths = torch.tensor(_LENGTHS, dtype=kernel.dtype, device=kernel.device)
    moves = [new - old for old, new in zip(at, best, strict=True)]
    dual = at[0] + lengths[:, None, None] * moves[0]
    fitted = kernel @ dual
    logits = fitted + at[1] + lengths[:, None, None] * moves[1]
    loss = -(logits.log_softmax(-1) * one_hot).sum((-1, -2)) + (dual * fitted).sum((-1, -2)) / 2
    # near the optimum losses differ by rounding alone, and the whole step is the best
    favoured = (loss * (1 - _FAVOUR * lengths)).argmin()
    is_best = torch.arange(len(lengths), device=kernel.device) == favoured
    chosen = (is_best * lengths).sum()
    return at[0] + chosen * moves[0], at[1] + chosen * moves[1]
