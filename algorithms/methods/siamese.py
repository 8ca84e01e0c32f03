"""Siamese networks: an embedding trained on pairs or triplets, used for nearest support example.

Koch, Zemel & Salakhutdinov, "Siamese Neural Networks for One-shot Image Recognition", ICML deep
learning workshop 2015: two images go through one network, and a query takes the class of the
support example that it resembles most (section 4.3). What it is trained with is one of

* ``contrastive``: Hadsell, Chopra & LeCun, "Dimensionality Reduction by Learning an Invariant
  Mapping", CVPR 2006 (equation 4): d^2 / 2 for a pair of one class, max(0, margin - d)^2 / 2 for a
  pair of two;
* ``triplet``: Schroff, Kalenichenko & Philbin, "FaceNet", CVPR 2015 (arXiv 1503.03832, equation 3):
  max(0, |a - p|^2 - |a - n|^2 + margin) for a, p of one class and n of another.

Embeddings have length 1 (Schroff et al., section 3.1), which gives a margin its scale. Pairs and
triplets are all those of an episode's support and queries together. The mean over pairs of one
class and the mean over pairs of two count the same, as Koch et al. draw as many of either; of
triplets the plain mean is taken.

The logits are minus the distance to the nearest support example of each class.

Deviations: Koch et al. train a weighted L1 distance with a cross-entropy, on pairs drawn from all
classes; Schroff et al. mine triplets within a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.losses import Kind, metrics_of
from metaray.algorithms.methods.embedding_based import EmbeddingBased, Support, unit_length
from metaray.algorithms.methods.protonet import squared_distances
from metaray.algorithms.methods.siamese_config import SiameseConfig
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.parameters import Tensors

_EPSILON = 1e-6  # squared distances below are rounding, and taken as zero


class SiameseNetwork(EmbeddingBased):
    """Nearest support example in an embedding of unit length."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: SiameseConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs)
        self.config = config

    @override
    def embed(self, support: Support, x: Tensor) -> tuple[Tensor, Tensor, Tensors]:
        """Features of unit length."""
        embedded, queries, batch_stats = super().embed(support, x)
        return unit_length(embedded), unit_length(queries), batch_stats

    @override
    def logits(self, support: Support, x: Tensor) -> tuple[Tensor, Tensors]:
        """Minus the distance to the nearest support example of each class, ``[B, ways]``."""
        embedded, queries, batch_stats = self.embed(support, x)
        return _nearest(distances(queries, embedded), support.one_hot), batch_stats

    @override
    def metrics(self, support: Support, x: Tensor, y: Tensor) -> tuple[Tensors, Tensors]:
        """The loss is over pairs or triplets of support and queries alike."""
        embedded, queries, batch_stats = self.embed(support, x)
        logits = _nearest(distances(queries, embedded), support.one_hot)
        examples, labels = torch.cat([embedded, queries]), torch.cat([support.y, y])
        of = contrastive_loss if self.config.loss == "contrastive" else triplet_loss
        loss = of(examples, labels, self.config.margin)
        return metrics_of(self.kind, logits, y) | {"loss": loss}, batch_stats


def contrastive_loss(examples: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Of all pairs of ``[B, F]``: half the mean over same, plus half the mean over different."""
    d = distances(examples, examples)
    same, different = _kinds_of_pairs(labels, examples.dtype)
    attraction = _mean(d.square(), same)
    repulsion = _mean((margin - d).clamp(min=0).square(), different)
    return (attraction + repulsion) / 2


def triplet_loss(examples: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Mean over all triplets of anchor, positive and negative in ``[B, F]``."""
    squared = squared_distances(examples, examples).clamp(min=0)
    same, different = _kinds_of_pairs(labels, examples.dtype)
    hinge = (squared[:, :, None] - squared[:, None, :] + margin).clamp(min=0)
    return _mean(hinge, same[:, :, None] * different[:, None, :])


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean, ``[A, F]`` and ``[B, F]`` to ``[A, B]``; value and gradient 0 where they meet."""
    squared = squared_distances(a, b)
    apart = squared > _EPSILON
    root = torch.where(apart, squared, 1.0).sqrt()
    return torch.where(apart, root, 0.0)


def _nearest(distance: Tensor, one_hot: Tensor) -> Tensor:
    """Distances ``[B, S]`` and support labels ``[S, N]`` to logits ``[B, N]``."""
    return -torch.where(one_hot > 0, distance[:, :, None], torch.inf).amin(1)


def _kinds_of_pairs(labels: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Which of ``[B, B]`` are two examples of one class, and which are of two, as 0 and 1."""
    alike = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return (alike & ~itself).to(dtype), (~alike).to(dtype)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen values; 0 where there are none."""
    return (values * chosen).sum() / chosen.sum().clamp(min=1)
