"""Nearest class mean on frozen features: how a trained encoder is used without a method.

SimpleShot (Wang, Chao, Weinberger & van der Maaten 2019, arXiv 1911.04623). A class is the mean of
the features of its examples, and a query takes the nearest (equation 1).

* ``cosine``: each feature has length one (the paper's L2N); logits are the cosine similarities to
  the means, times the scale of Gidaris & Komodakis, CVPR 2018 (arXiv 1804.09458).
* ``euclidean``: logits are minus the squared distances, as in prototypical networks.

The paper's centring (CL2N) subtracts the mean of the training classes: ``data.centre`` does it.

Deviation: under ``cosine`` the paper compares features of length one with means that are shorter;
here the means are scaled to length one as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor
from typing_extensions import override

from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.embedding_based import unit_length
from metaray.algorithms.methods.feature_head import FeatureHead
from metaray.algorithms.methods.heads_config import NearestMeanConfig
from metaray.algorithms.methods.protonet import class_means, squared_distances
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.head import apply_head
from metaray.algorithms.parameters import Tensors

SCALE = 10.0


class TrainedHead(NamedTuple):
    """The classifier that was trained with the encoder, in the place of a support set."""

    params: Tensors
    stats: Tensors | None
    """statistics to normalise by"""


class NearestMean(FeatureHead):
    """Nearest class mean; or the encoder's own classifier."""

    def __init__(
        self,
        backbone: Backbone,
        kind: Kind,
        num_outputs: int,
        config: NearestMeanConfig | None = None,
    ) -> None:
        super().__init__(backbone, kind, num_outputs)
        self.config = config or NearestMeanConfig()

    @override
    def predict(self, adapted: Any, x: Tensor) -> Tensor:
        if isinstance(adapted, TrainedHead):
            return apply_head(adapted.params, self.features(adapted, x))
        return super().predict(adapted, x)

    @override
    def fit(self, params: Mapping[str, Tensor], features: Tensor, one_hot: Tensor) -> Tensor:
        """The class means ``[ways, F]``."""
        if self.config.metric == "euclidean":
            return class_means(features, one_hot)
        return unit_length(class_means(unit_length(features), one_hot))

    @override
    def scores(self, params: Mapping[str, Tensor], head: Tensor, features: Tensor) -> Tensor:
        if self.config.metric == "euclidean":
            return -squared_distances(features, head)
        return SCALE * unit_length(features) @ head.T
