"""Siamese networks (Koch et al. 2015, Hadsell et al. 2006, Schroff et al. 2015).

Pairs of an episode take the place of the published mini-batches, so ways and queries are ours.
"""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE: Space = {
    "method.loss": Choice(("contrastive", "triplet")),
    "method.margin": Float(0.05, 1.5, log=True),  # contrastive 1; triplet 0.2
    "task.train_ways": Choice((5, 10, 20, 30)),
    "task.train_queries": Int(1, 15),
    "train.meta_lr": Float(1e-4, 1e-2, log=True),
    "train.meta_batch_size": Choice((1, 2, 4, 8)),
    "model.width": Choice((32, 64)),  # 64
}
