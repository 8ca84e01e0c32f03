"""Momentum contrast (MoCo), versions 1 and 2.

He, Fan, Wu, Xie & Girshick, "Momentum Contrast for Unsupervised Visual Representation Learning",
CVPR 2020 (arXiv 1911.05722); Chen, Fan, Girshick & He, "Improved Baselines with Momentum
Contrastive Learning" (arXiv 2003.04297) for version 2, which has a head of two layers, blur, a
temperature of 0.2 and a cosine schedule. A step (algorithm 1)::

    key encoder <- m key encoder + (1 - m) encoder
    queries = encoder(first view), keys = key encoder(second view), without gradient
    loss = InfoNCE over each query's own key and the queue
    the queue takes the keys in, and lets the oldest go

The key encoder and the queue, whose rows have length 1, are buffers. The queue starts with random
directions. The keys are normalised among other images than the queries (section 3.3, "shuffling
BN"): the second view is shuffled over the shards of a batch; with a single shard nothing is hidden.

Published on ImageNet: ResNet-50, queue 65,536, m = 0.999, batches of 256, SGD with rate 0.03,
momentum 0.9 and weight decay 1e-4, 200 epochs; v1 divides the rate by 10 at 120 and 160, v2 has a
cosine. The authors' notebook for CIFAR-10: queue 4096, m = 0.99, temperature 0.1, batches of 512,
rate 0.06, weight decay 5e-4, cosine.

Deviations: the queue is moved rather than written in a ring, newest keys first, so that any batch
size will do; the key encoder has no running statistics, which nothing would read; weight decay
leaves norms and biases out; the schedule is a cosine for v1 too, unless ``train.schedule`` is set.
"""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.algorithm import State
from metaray.algorithms.methods.embedding_based import unit_length
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.transfer.augment import moco_transform
from metaray.algorithms.transfer.backbone_objective import BackboneObjective, detached
from metaray.algorithms.transfer.contrastive import info_nce
from metaray.algorithms.transfer.dense import apply_dense, init_dense
from metaray.algorithms.transfer.moco_config import MoCoConfig
from metaray.algorithms.transfer.objective import Forward, Networks, Shard, Start, Transform, View

_PROJECTION, _KEY, _QUEUE = "projection", "key", "queue"


class MoCo(BackboneObjective):
    """InfoNCE against a queue of keys.

    Args:
        config: its settings.
        networks: the encoder and its images.
        transform: draws a view of an image; as published unless given.
    """

    couples_batch = True
    own_parts = (_PROJECTION, _KEY, _QUEUE)

    def __init__(
        self, config: MoCoConfig, networks: Networks, transform: Transform | None = None
    ) -> None:
        super().__init__(networks)
        self.config = config
        draw = transform or moco_transform(networks.input_shape, config)
        queries = View(labelled=False, transform=draw)
        self.views = (queries, queries._replace(shuffled=True))
        dim = self.backbone.feature_dim
        hidden = (dim,) if config.version == "v2" else ()
        self._sizes = (dim, *hidden, config.projection_dim)

    @override
    def init_own(self, generator: torch.Generator) -> Tensors:
        """The projection head."""
        return init_dense(generator, _PROJECTION, self._sizes)

    @override
    def init_buffers(self, params: Tensors, start: Start, generator: torch.Generator) -> Tensors:
        """The key encoder, which starts as the encoder, and the queue."""
        shape = (self.config.queue_size, self.config.projection_dim)
        queue = unit_length(torch.randn(shape, generator=generator))
        return {f"{_KEY}.{name}": p.clone() for name, p in params.items()} | {_QUEUE: queue}

    @override
    def begin_step(self, state: State) -> State:
        """The key encoder follows the encoder."""
        keep = self.config.momentum
        with torch.no_grad():
            moved = {
                f"{_KEY}.{name}": keep * state.buffers[f"{_KEY}.{name}"] + (1 - keep) * p
                for name, p in state.params.items()
            }
        return state._replace(buffers=state.buffers | moved)

    @override
    def forward(self, state: State, shard: Shard, progress: float) -> Forward:
        """``queries``; ``keys`` in shuffled order, and ``order``, their places unshuffled."""
        queries, batch_stats = self._project(state.params, shard.images[0], shard.key)
        slow = {name: state.buffers[f"{_KEY}.{name}"] for name in state.params}
        with torch.no_grad():
            keys, _ = self._project(slow, shard.images[1], shard.key)
        return Forward({"queries": queries, "keys": keys, "order": shard.order}, batch_stats)

    @override
    def loss(
        self, state: State, outputs: Tensors, labels: tuple[Tensor | None, ...], progress: float
    ) -> tuple[Tensor, Tensors]:
        """InfoNCE; ``matched`` is the share of queries to which their own key is the nearest."""
        keys, queue = _ordered_keys(outputs), state.buffers[_QUEUE]
        loss, matched = info_nce(outputs["queries"], keys, queue, self.config.temperature)
        return loss, detached({"loss": loss, "matched": matched})

    @override
    def end_step(self, state: State, outputs: Tensors) -> Tensors:
        """The queue takes the keys in."""
        queue = torch.cat([_ordered_keys(outputs), state.buffers[_QUEUE]])
        queue = queue[: self.config.queue_size]
        return state.buffers | {_QUEUE: queue}

    def _project(self, params: Tensors, x: Tensor, key: Tensor) -> tuple[Tensor, Tensors]:
        features, batch_stats = self.train_features(params, x, key)
        return apply_dense(params, _PROJECTION, features, len(self._sizes) - 1), batch_stats


def _ordered_keys(outputs: Tensors) -> Tensor:
    """The keys at length one, in the order of their queries."""
    return unit_length(outputs["keys"].detach()[outputs["order"].argsort()])
