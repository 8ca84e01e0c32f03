"""Relation networks.

Sung, Yang, Zhang, Xiang, Torr & Hospedales, "Learning to Compare: Relation Network for Few-Shot
Learning", CVPR 2018 (arXiv 1711.06025). A relation module g scores the feature map of a query
beside that of a class, the sum over its support examples (section 3.2)::

    r_ij = sigmoid( g( [sum_k f(x_ik), f(x_j)] ) )      loss = mean_ij ( r_ij - [y_j = i] )^2

g: two blocks of 3x3 convolution, batch norm, ReLU and 2x2 max pooling, with as many channels as the
map has, then a hidden layer with ReLU and the score.

The logits are what goes into the sigmoid. Training treats each score by itself, as the paper does;
their softmax, on which calibration is measured, says how the odds divide between the classes.

The authors' code never leaves the training mode of its batch norms, so the published scores are
transductive.

Deviations: support and queries are normalised as one batch (the authors' code takes two), a
gradient is clipped as a whole (there, backbone and module apart), quarter turns of a character are
classes of their own (there, all images of an episode are turned by one random angle, in training
and test), and the first convolutions of the backbone are padded (see ``models.conv4``). The module
has batch norm, even if the backbone has another norm. Glorot-uniform weights and zero biases, as
everywhere in metaray. A backbone that averages over space leaves a map of 1 x 1, where a pooling
does nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.losses import Kind, metrics_of
from metaray.algorithms.methods.embedding_based import EmbeddingBased, Support, one_hot
from metaray.algorithms.methods.relation_config import RelationConfig
from metaray.algorithms.models.backbone import Backbone, glorot_uniform
from metaray.algorithms.models.norm import batch_norm, init_norm
from metaray.algorithms.parameters import Tensors

_BLOCKS = ("relation.block0", "relation.block1")
_HIDDEN, _SCORE = "relation.hidden", "relation.score"


class RelationNetwork(EmbeddingBased):
    """A comparison that is learned with the embedding."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: RelationConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs)
        self.config = config

    @override
    def init_own(self, generator: torch.Generator) -> tuple[Tensors, Tensors]:
        """The relation module."""
        channels, height, width = self.backbone.map_shape
        params: Tensors = {}
        stats: Tensors = {}
        for block, in_channels in zip(_BLOCKS, (2 * channels, channels), strict=True):
            params[f"{block}.conv"] = glorot_uniform(generator, channels, in_channels, 3, 3)
            norm_params, norm_stats = init_norm(f"{block}.norm", channels)
            params |= norm_params
            stats |= norm_stats
            height, width = max(1, height // 2), max(1, width // 2)
        sizes = (channels * height * width, self.config.hidden_units, 1)
        for layer, fan_in, fan_out in zip((_HIDDEN, _SCORE), sizes, sizes[1:], strict=False):
            params[f"{layer}.weight"] = glorot_uniform(generator, fan_out, fan_in)
            params[f"{layer}.bias"] = torch.zeros(fan_out)
        return params, stats

    @override
    def logits(self, support: Support, x: Tensor) -> tuple[Tensor, Tensors]:
        """Scores before the sigmoid, ``[B, ways]``."""
        embedded, queries, batch_stats = self.embed(support, x)
        counts = support.one_hot.sum(0)
        # a class with more or fewer examples counts as if all had the same number; written so that
        # the weights are exactly 1 where they have, on any device
        weights = counts.sum() / (counts * torch.ones_like(counts).sum())
        classes = (support.one_hot * weights).T @ embedded
        scores, module_stats = self._compare(
            support.params,
            classes.reshape(-1, *self.backbone.map_shape),
            queries.reshape(-1, *self.backbone.map_shape),
            support.stats,
        )
        return scores, batch_stats | module_stats

    @override
    def metrics(self, support: Support, x: Tensor, y: Tensor) -> tuple[Tensors, Tensors]:
        """The mean squared error of the relation scores."""
        logits, batch_stats = self.logits(support, x)
        error = logits.sigmoid() - one_hot(y, logits.shape[-1], logits.dtype)
        return metrics_of(self.kind, logits, y) | {"loss": error.square().mean()}, batch_stats

    def _compare(
        self, params: Tensors, classes: Tensor, queries: Tensor, stats: Tensors | None
    ) -> tuple[Tensor, Tensors]:
        """Scores ``[B, N]`` of maps ``[N, C, H, W]`` and ``[B, C, H, W]``, and statistics used."""
        # a convolution of two concatenated maps is the sum of two convolutions: N + B, not N * B
        of_class, of_query = params[f"{_BLOCKS[0]}.conv"].chunk(2, dim=1)
        pairs = (
            F.conv2d(classes, of_class, padding=1)
            + (F.conv2d(queries, of_query, padding=1)[:, None])
        )
        x, used = _norm_and_pool(params, _BLOCKS[0], pairs.flatten(0, 1), stats)
        x = F.conv2d(x, params[f"{_BLOCKS[1]}.conv"], padding=1)
        x, also_used = _norm_and_pool(params, _BLOCKS[1], x, stats)
        hidden = F.linear(x.flatten(1), params[f"{_HIDDEN}.weight"], params[f"{_HIDDEN}.bias"])
        score = F.linear(F.relu(hidden), params[f"{_SCORE}.weight"], params[f"{_SCORE}.bias"])
        return score.reshape(queries.shape[0], classes.shape[0]), used | also_used


def _norm_and_pool(
    params: Tensors, block: str, x: Tensor, stats: Tensors | None
) -> tuple[Tensor, Tensors]:
    x, batch_stats = batch_norm(params, f"{block}.norm", x, stats)
    height, width = x.shape[-2:]
    return F.max_pool2d(F.relu(x), (min(2, height), min(2, width))), batch_stats
