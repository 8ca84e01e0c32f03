"""SimCLR (Chen et al. 2020). The paper's values for CIFAR-10 stand beside the ranges."""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Space

SPACE: Space = {
    "job.temperature": Float(0.05, 1.0, log=True),  # 0.5
    "job.jitter": Float(0.0, 1.0),  # 0.5
    "job.smallest_crop": Float(0.05, 0.5),  # 0.08
    "job.projection_dim": Choice((64, 128, 256)),  # 128
    "train.lr": Float(0.1, 5.0, log=True),  # 1.0 at a batch of 256
    "train.weight_decay": Float(1e-7, 1e-4, log=True),  # 1e-6
}
