"""A method."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.embedding_based import EmbeddingBased, Support
from metaray.algorithms.methods.protonet import class_means, squared_distances
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.parameters import Tensors
from metaray_example.config import NearestConfig


class Nearest(EmbeddingBased):
    """Nearest class mean."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: NearestConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs)
        self.config = config

    @override
    def logits(self, support: Support, x: Tensor) -> tuple[Tensor, Tensors]:
        embedded, queries, seen = self.embed(support, x)
        means = class_means(embedded, support.one_hot)
        return -squared_distances(queries, means) / self.config.temperature, seen
