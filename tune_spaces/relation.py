"""Relation networks (Sung et al. 2018). The paper's values for Omniglot stand beside the ranges."""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE: Space = {
    "method.hidden_units": Choice((4, 8, 16, 32)),  # 8
    "task.train_ways": Choice((5, 10, 20)),  # as many as the test has
    "task.train_queries": Int(1, 19),  # 19 of 1-shot, 15 of 5-shot; 20-way 10 and 5
    "train.meta_lr": Float(1e-4, 1e-2, log=True),  # 1e-3, halved every 100,000 episodes
    "train.meta_batch_size": Choice((1, 2, 4, 8)),  # 1
    "train.clip_norm": Float(0.1, 10.0, log=True),  # 0.5
    "model.width": Choice((32, 64)),  # 64
}
