"""Two simple references for domain adaptation: features of both domains are made alike directly.

CORAL: Sun & Saenko, "Deep CORAL", ECCV workshops 2016 (arXiv 1607.01719), equation 1, with the
covariances C of ``d`` features::

    |C_source - C_target|^2 / (4 d^2)

MMD: Long, Cao, Wang & Jordan, "Learning Transferable Features with Deep Adaptation Networks", ICML
2015 (arXiv 1502.02791): the squared distance of the domains' means in the space of a
kernel, which is the mean of Gaussian kernels of several widths::

    mean k(s, s') + mean k(t, t') - 2 mean k(s, t)

The loss is the cross-entropy on the source plus ``weight`` times either; the distance is that of
the whole batch, not over shards.

Deviations: both act on the features of the backbone (CORAL: on the logits; MMD: on the last three
layers). MMD: five kernels weigh the same (the paper learns their weights), with widths of 1/4 to
4 times the mean squared distance within the batch, and all pairs count (the paper samples some in
linear time), with those of an image and itself, so that two equal batches have a distance of zero.
"""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.algorithm import State
from metaray.algorithms.errors import InputError
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.transfer.backbone_objective import detached
from metaray.algorithms.transfer.objective import Forward, Shard
from metaray.algorithms.transfer.source_only import TwoStreams

_WIDEST, _KERNELS = 4.0, 5
_LEAST_WIDTH = 1e-8  # images that are all alike have no distance to measure in


class Alignment(TwoStreams):
    """Cross-entropy on the source, and CORAL or MMD between the domains."""

    couples_batch = True

    @override
    def forward(self, state: State, shard: Shard, progress: float) -> Forward:
        """``logits`` of the source, and the features of both domains."""
        source, target, batch_stats = self.both_features(state, shard)
        logits = self.label_logits(state, source)
        return Forward({"logits": logits, "source": source, "target": target}, batch_stats)

    @override
    def loss(
        self, state: State, outputs: Tensors, labels: tuple[Tensor | None, ...], progress: float
    ) -> tuple[Tensor, Tensors]:
        """Cross-entropy on the source, and the distance of the domains."""
        metrics = self.source_metrics(outputs["logits"], labels[0])
        distance_of = coral if self.config.adaptation == "coral" else mmd
        distance = distance_of(outputs["source"], outputs["target"])
        loss = metrics["loss"] + self.config.weight * distance
        metrics |= {"loss": loss, "label_loss": metrics["loss"], "domain_distance": distance}
        return loss, detached(metrics)


def coral(source: Tensor, target: Tensor) -> Tensor:
    """Squared distance of the covariances of ``[B, F]`` and ``[B', F]``, over ``4 F^2``.

    Raises:
        InputError: a batch is a single image.
    """
    if min(len(source), len(target)) < 2:
        raise InputError(
            "coral compares covariances, which take two images or more of each domain, got "
            f"{len(source)} and {len(target)}: raise the batch size"
        )
    difference = torch.cov(source.T) - torch.cov(target.T)
    return difference.square().mean() / 4


def mmd(source: Tensor, target: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of ``[B, F]`` and ``[B', F]`` by several kernels."""
    x = torch.cat([source, target])
    lengths = x.square().sum(-1)
    squared = (lengths[:, None] + lengths - 2 * x @ x.T).clamp(min=0)
    width = squared.detach().mean().clamp(min=_LEAST_WIDTH)
    kernel = torch.exp(-squared / (_WIDEST * width))
    kernels = [kernel]
    for _ in range(_KERNELS - 1):
        kernels.append(kernels[-1].square())  # of half the width
    kernel = torch.stack(kernels).mean(0)
    n = len(source)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()
