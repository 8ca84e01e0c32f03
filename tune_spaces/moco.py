"""MoCo (He et al. 2020). The values of the authors' notebook for CIFAR-10 beside the ranges."""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Space

SPACE: Space = {
    "job.temperature": Float(0.05, 0.5, log=True),  # 0.2; v1 0.07
    "job.momentum": Float(0.9, 0.999),  # 0.99
    "job.queue_size": Choice((1024, 4096, 16384)),  # 4096
    "job.smallest_crop": Float(0.05, 0.5),  # 0.2
    "train.lr": Float(3e-3, 0.3, log=True),  # 0.03
    "train.weight_decay": Float(1e-6, 1e-3, log=True),  # 1e-4
}
