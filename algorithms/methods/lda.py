"""Linear discriminant analysis with a shrunken covariance, on frozen features.

Fisher, "The Use of Multiple Measurements in Taxonomic Problems", Annals of Eugenics 7, 1936:
classes are normal with one covariance C, so the logits of x are ::

    x C^-1 m_c  -  m_c C^-1 m_c / 2  +  log share_c

with the mean m_c of a class and its share of the support set. A few examples say little of C, so it
is shrunken towards a multiple of the identity, by the share that Ledoit & Wolf, "A Well-conditioned
Estimator for Large-dimensional Covariance Matrices", Journal of Multivariate Analysis 88, 2004,
estimate from the same examples. Queries have no part in it.

* ``pooled``: one estimate from what all examples deviate from the means of their classes.
* ``class``: an estimate for each class, of features that it standardises, and their weighted mean.
  This is scikit-learn's ``LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")``. With two
  shots its estimates are not shrunken at all.

With one shot nothing deviates: C is the identity, and the nearest class mean is predicted. The
diagonal of C is raised by a share of the mean variance that is as small as rounding allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.feature_head import ScaledHead
from metaray.algorithms.methods.heads_config import LDAConfig
from metaray.algorithms.models.backbone import Backbone


class Discriminants(NamedTuple):
    """A linear head around a point."""

    centre: Tensor  # [F]
    weight: Tensor  # [ways, F]
    bias: Tensor  # [ways]


class Covariance(NamedTuple):
    """``diag(diagonal) + sum_i weight_i r_i r_i^T`` with the residuals r ``[S, F]``."""

    diagonal: Tensor  # [F]
    residuals: Tensor  # [S, F]
    weights: Tensor  # [S]


class LinearDiscriminants(ScaledHead):
    """Normal classes with one covariance."""

    def __init__(self, backbone: Backbone, kind: Kind, num_outputs: int, config: LDAConfig) -> None:
        super().__init__(backbone, kind, num_outputs, config.normalise)
        self.config = config

    @override
    def fit(self, params: Mapping[str, Tensor], features: Tensor, one_hot: Tensor) -> Discriminants:
        x = self.placed(features)
        centre = x.mean(0)
        x = x - centre
        shares = one_hot / one_hot.sum(0)
        means = shares.T @ x
        estimate = _pooled if self.config.covariance == "pooled" else _by_class
        weight = solved(estimate(x - one_hot @ means, one_hot), means)
        bias = one_hot.mean(0).log() - (weight * means).sum(-1) / 2
        return Discriminants(centre, weight, bias)

    @override
    def scores(self, params: Mapping[str, Tensor], head: Discriminants, features: Tensor) -> Tensor:
        return (self.placed(features) - head.centre) @ head.weight.T + head.bias


def shrinkage(residuals: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """The share of the identity ``[G]`` and the mean variance ``[G]`` of groups of examples.

    Args:
        residuals: examples without the mean of their group, ``[S, F]``.
        shares: of each example in each group, ``[S, G]``; those of a group add up to 1.
    """
    squares = residuals.square()
    variance = (shares.T @ squares).mean(-1)
    of_products = (((residuals @ residuals.T).square() @ shares) * shares).sum(0)
    size = residuals.shape[-1]
    spread = of_products / size - variance.square()
    # shares of one group are 1 / n, so their squares add up to 1 / n
    noise = (shares.T @ squares.sum(-1).square() - of_products) * shares.square().sum(0) / size
    noise = torch.minimum(noise, spread)
    has_noise = noise > 0
    return torch.where(has_noise, noise / torch.where(has_noise, spread, 1.0), 0.0), variance


def _pooled(residuals: Tensor, one_hot: Tensor) -> Covariance:
    """One estimate for all."""
    all_alike = torch.full_like(residuals[:, :1], 1 / len(residuals))
    share, variance = shrinkage(residuals, all_alike)
    diagonal = (share * variance).expand(residuals.shape[-1])
    return Covariance(diagonal, residuals, (1 - share) * all_alike[:, 0])


def _by_class(residuals: Tensor, one_hot: Tensor) -> Covariance:
    """The mean of an estimate for each class, by its share of the examples."""
    shares, weights = one_hot / one_hot.sum(0), one_hot.mean(0)
    variances = shares.T @ residuals.square()  # [ways, F]
    varies = variances > 0
    scales = torch.where(varies, torch.where(varies, variances, 1.0).sqrt(), 1.0)
    share, variance = shrinkage(residuals / (one_hot @ scales), shares)
    diagonal = (weights * share * variance) @ scales.square()
    return Covariance(diagonal, residuals, (one_hot @ (1 - share)) / len(residuals))


def solved(covariance: Covariance, means: Tensor) -> Tensor:
    """``means`` ``[ways, F]`` times the inverse, by the smaller of two systems of equations."""
    diagonal, residuals, weights = covariance
    variance = (diagonal + weights @ residuals.square()).mean()
    least = torch.finfo(means.dtype).eps ** 0.5 * variance
    diagonal = diagonal + torch.where(variance > 0, least, 1.0)
    weighted = residuals * weights[:, None]
    examples, size = residuals.shape
    if examples >= size:
        return _divided(torch.diag_embed(diagonal) + residuals.T @ weighted, means.T).T
    eye = torch.eye(examples, dtype=means.dtype, device=means.device)
    inner = eye + (weighted / diagonal) @ residuals.T  # the identity of Woodbury
    direct = means / diagonal
    return direct - (_divided(inner, weighted @ direct.T).T @ residuals) / diagonal


def _divided(matrix: Tensor, right: Tensor) -> Tensor:
    """The solution x of matrix x = right."""
    found: Tensor = torch.linalg.solve(matrix, right)
    return found
