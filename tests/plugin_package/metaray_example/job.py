"""A transfer job."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.algorithm import State
from metaray.algorithms.models.head import apply_head, init_head
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.transfer.backbone_objective import BackboneObjective
from metaray.algorithms.transfer.objective import Forward, Networks, Shard, View
from metaray_example.config import SmoothConfig


class Smooth(BackboneObjective):
    """Cross-entropy with smoothed labels."""

    own_parts: ClassVar[tuple[str, ...]] = ("head",)
    views: tuple[View, ...] = (View("source", labelled=True),)

    def __init__(self, config: SmoothConfig, networks: Networks) -> None:
        super().__init__(networks)
        self.config = config
        self.num_classes = networks.num_classes

    @override
    def init_own(self, generator: torch.Generator) -> Tensors:
        return init_head(generator, self.backbone.feature_dim, self.num_classes)

    @override
    def forward(self, state: State, shard: Shard, progress: float) -> Forward:
        features, seen = self.train_features(state.params, shard.images[0], shard.key)
        return Forward({"logits": apply_head(state.params, features)}, seen)

    @override
    def loss(
        self, state: State, outputs: Tensors, labels: tuple[Tensor | None, ...], progress: float
    ) -> tuple[Tensor, Tensors]:
        (y,) = labels
        assert y is not None  # the view is labelled
        logits = outputs["logits"]
        loss = F.cross_entropy(logits, y, label_smoothing=self.config.smoothing)
        accuracy = (logits.argmax(-1) == y).to(logits.dtype).mean()
        return loss, {"loss": loss.detach(), "accuracy": accuracy}

    @override
    def predict(self, state: State, x: Tensor) -> Tensor:
        return apply_head(state.params, self.features(state, x))
