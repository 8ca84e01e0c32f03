"""SimCLR: the two augmented views of an image are alike, those of other images are not.

Chen, Kornblith, Norouzi & Hinton, "A Simple Framework for Contrastive Learning of Visual
Representations", ICML 2020 (arXiv 2002.05709). The projection head is ``W2 relu(W1 h)`` with as
many hidden units as features and 128 outputs (section 2.1); the loss is NT-Xent over the whole
batch (``contrastive.py``); what is kept is ``h``, the features before the head.

Published on CIFAR-10 (appendix B.9): ResNet-50 whose first convolution is 3 x 3 without pooling,
batches of 256 to 4096, LARS with a rate of 1.0 x batch / 256 (0.5 to 1.5 searched), weight decay
1e-6, temperature 0.5, no blur, colour jitter of strength 0.5, 10 epochs of warm-up and a cosine,
up to 1,000 epochs.

Deviations: the head has biases and no batch norm (the paper's equation has neither, their code has
batch norm); the two views of a shard are normalised as one batch, and shards apart (theirs: over
all devices).
"""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.algorithm import State
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.transfer.augment import simclr_transform
from metaray.algorithms.transfer.backbone_objective import BackboneObjective, detached
from metaray.algorithms.transfer.contrastive import nt_xent
from metaray.algorithms.transfer.dense import apply_dense, init_dense
from metaray.algorithms.transfer.objective import Forward, Networks, Shard, Transform, View
from metaray.algorithms.transfer.simclr_config import SimCLRConfig

_PROJECTION = "projection"


class SimCLR(BackboneObjective):
    """NT-Xent of two views.

    Args:
        config: its settings.
        networks: the encoder and its images.
        transform: draws a view of an image; as published unless given.
    """

    couples_batch = True
    own_parts = (_PROJECTION,)

    def __init__(
        self, config: SimCLRConfig, networks: Networks, transform: Transform | None = None
    ) -> None:
        super().__init__(networks)
        self.config = config
        draw = transform or simclr_transform(networks.input_shape, config)
        self.views = (View(labelled=False, transform=draw),) * 2

    @override
    def init_own(self, generator: torch.Generator) -> Tensors:
        """The projection head."""
        dim = self.backbone.feature_dim
        return init_dense(generator, _PROJECTION, (dim, dim, self.config.projection_dim))

    @override
    def forward(self, state: State, shard: Shard, progress: float) -> Forward:
        """The projections ``first`` and ``second`` of the two views."""
        together = torch.cat(shard.images)
        features, batch_stats = self.train_features(state.params, together, shard.key)
        first, second = apply_dense(state.params, _PROJECTION, features, 2).chunk(2)
        return Forward({"first": first, "second": second}, batch_stats)

    @override
    def loss(
        self, state: State, outputs: Tensors, labels: tuple[Tensor | None, ...], progress: float
    ) -> tuple[Tensor, Tensors]:
        """NT-Xent; ``matched`` is the share of views whose other view is the nearest."""
        loss, matched = nt_xent(outputs["first"], outputs["second"], self.config.temperature)
        return loss, detached({"loss": loss, "matched": matched})
