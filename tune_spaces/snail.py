"""SNAIL (Mishra et al. 2018). Beside the ranges: the paper's values for Omniglot.

The span of the temporal convolutions is not searched: it is the length of the sequence.
"""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE: Space = {
    "method.width": Choice((32, 64, 128)),  # 128
    "task.train_queries": Int(1, 10),  # one query in all; here one per class is the least
    "train.meta_lr": Float(5e-5, 5e-3, log=True),  # 1e-4
    "train.meta_batch_size": Choice((8, 16, 32)),  # 32
    "model.width": Choice((32, 64)),  # 64
}
