"""CAML (Fifty et al. 2024), who train a far larger transformer; these are ranges for a small one.

``method.max_ways`` is not searched: it says which tasks the network can take.
"""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE: Space = {
    "method.layers": Int(1, 6),
    "method.heads": Choice((2, 4, 8)),
    "method.width": Choice((128, 256, 512)),
    "task.train_queries": Int(1, 15),
    "train.meta_lr": Float(3e-5, 3e-3, log=True),
    "train.meta_batch_size": Choice((4, 8, 16)),
}
