"""Nearest class mean by cosine similarity: how a trained encoder is used without a method.

A class is the mean of the features of its examples, each at length one; a query's logits are its
cosine similarities to the classes, times a scale (SimpleShot's L2-normalised nearest mean: Wang,
Chao, Weinberger & van der Maaten, arXiv 1911.04623; the scale is the one of Gidaris & Komodakis,
CVPR 2018, arXiv 1804.09458).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor
from typing_extensions import override

from metaray.algorithms.methods.embedding_based import EmbeddingBased, Support, unit_length
from metaray.algorithms.methods.protonet import class_means
from metaray.algorithms.models.head import apply_head
from metaray.algorithms.parameters import Tensors

SCALE = 10.0


class TrainedHead(NamedTuple):
    """The classifier that was trained with the encoder, in the place of a support set."""

    params: Tensors
    stats: Tensors | None
    """statistics to normalise by"""


class NearestMean(EmbeddingBased):
    """Nearest class mean under cosine similarity; or the encoder's own classifier."""

    @override
    def predict(self, adapted: Any, x: Tensor) -> Tensor:
        if isinstance(adapted, TrainedHead):
            return apply_head(adapted.params, self.features(adapted, x))
        return super().predict(adapted, x)

    @override
    def logits(self, support: Support, x: Tensor) -> tuple[Tensor, Tensors]:
        """Scaled cosine of each query with each class, ``[B, ways]``."""
        embedded, queries, batch_stats = self.embed(support, x)
        means = class_means(unit_length(embedded), support.one_hot)
        return SCALE * unit_length(queries) @ unit_length(means).T, batch_stats
