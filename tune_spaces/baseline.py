"""Baseline (Chen et al. 2019). The paper's values stand beside the ranges."""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE: Space = {
    "method.batch_size": Choice((16, 32, 64, 128)),  # 16
    "method.eval_inner_steps": Int(50, 500),  # 100
    "method.eval_inner_lr": Float(1e-3, 1.0, log=True),  # 0.01
    "train.meta_lr": Float(1e-4, 1e-2, log=True),  # 1e-3
    "model.width": Choice((32, 64)),  # 64
}
