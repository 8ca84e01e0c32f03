"""Memory-augmented networks (Santoro et al. 2016). Beside the ranges: the paper's values."""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Space

SPACE: Space = {
    "method.controller_width": Choice((100, 200, 400)),  # 200
    "method.memory_slots": Choice((32, 64, 128)),  # 128
    "method.memory_width": Choice((20, 40, 80)),  # 40
    "method.read_heads": Choice((1, 2, 4)),  # 4
    "train.meta_lr": Float(1e-4, 1e-2, log=True),  # 1e-4, with RMSProp
    "train.meta_batch_size": Choice((8, 16, 32)),  # 16
}
