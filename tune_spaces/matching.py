"""Matching networks (Vinyals et al. 2016). The paper's values for Omniglot stand beside the ranges.

The paper names no optimizer; its step size here is ProtoNet's.
"""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE: Space = {
    "method.temperature": Float(0.01, 1.0, log=True),  # 1: cosines as they are
    "method.full_context": Choice((False, True)),  # False; True on miniImageNet
    "task.train_ways": Choice((5, 10, 20, 30)),  # as many as the test has
    "task.train_queries": Int(1, 15),
    "train.meta_lr": Float(1e-4, 1e-2, log=True),
    "train.meta_batch_size": Choice((1, 2, 4, 8)),
    "model.width": Choice((32, 64)),  # 64
}
