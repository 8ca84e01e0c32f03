"""Training on the source domain alone: the lower bound of domain adaptation, and its common part.

The network is that of Ganin et al. 2016 (see ``dann.py``): a feature extractor and a label
predictor of several layers. Without adaptation no image of the target is read, and the target is
normalised by the running statistics of the source.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.algorithm import State
from metaray.algorithms.losses import metrics_of_batch
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.transfer.backbone_objective import BackboneObjective, detached
from metaray.algorithms.transfer.dense import apply_dense, init_dense
from metaray.algorithms.transfer.domain_adaptation_config import DANNConfig
from metaray.algorithms.transfer.objective import Forward, Networks, Shard, View

_HEAD = "head"


class SourceOnly(BackboneObjective):
    """Cross-entropy on the source.

    Args:
        config: its settings.
        networks: the feature extractor, and the classes of the source, which are the target's.
    """

    own_parts: ClassVar[tuple[str, ...]] = (_HEAD,)
    views: tuple[View, ...] = (View("source", labelled=True),)

    def __init__(self, config: DANNConfig, networks: Networks) -> None:
        super().__init__(networks)
        self.num_classes = networks.num_classes
        self.config = config

    @override
    def init_own(self, generator: torch.Generator) -> Tensors:
        """The label predictor."""
        sizes = (self.backbone.feature_dim, *self.config.label_hidden, self.num_classes)
        return init_dense(generator, _HEAD, sizes)

    @override
    def forward(self, state: State, shard: Shard, progress: float) -> Forward:
        """``logits`` of the source."""
        features, batch_stats = self.train_features(state.params, shard.images[0], shard.key)
        return Forward({"logits": self.label_logits(state, features)}, batch_stats)

    @override
    def loss(
        self, state: State, outputs: Tensors, labels: tuple[Tensor | None, ...], progress: float
    ) -> tuple[Tensor, Tensors]:
        metrics = self.source_metrics(outputs["logits"], labels[0])
        return metrics["loss"], detached(metrics)

    @override
    def predict(self, state: State, x: Tensor) -> Tensor:
        """Logits ``[B, num_classes]`` by running statistics."""
        return self.label_logits(state, self.features(state, x))

    def label_logits(self, state: State, features: Tensor) -> Tensor:
        """``[B, F]`` to ``[B, num_classes]``."""
        return apply_dense(state.params, _HEAD, features, len(self.config.label_hidden) + 1)

    @staticmethod
    def source_metrics(logits: Tensor, labels: Tensor | None) -> Tensors:
        """``loss``, the cross-entropy, and ``accuracy``."""
        assert labels is not None  # the view of the source is labelled
        return metrics_of_batch(logits, labels)


class TwoStreams(SourceOnly):
    """Half of a batch is of the source, half of the target, whose labels are out of reach.

    Both are one batch to batch norm, as the halves of the batch of Ganin et al. (section 5.2) are
    one batch: a network that sees which domain it normalises could not be tested on either without
    being told. Running statistics are those of the mixture, and evaluation uses them for both.
    """

    views = (View("source", labelled=True), View("target", labelled=False))

    def both_features(self, state: State, shard: Shard) -> tuple[Tensor, Tensor, Tensors]:
        """Features of source and target, and the statistics of the two as one batch."""
        source, target = shard.images
        together = torch.cat([source, target])
        features, batch_stats = self.train_features(state.params, together, shard.key)
        return features[: len(source)], features[len(source) :], batch_stats

    @override
    def describe(self) -> dict[str, Any]:
        """How batch norm sees the two domains, where there is any."""
        if not self.backbone.init(torch.Generator().manual_seed(0))[1]:
            return {}
        return {"batch_norm": "source and target as one batch; running statistics of the mixture"}
