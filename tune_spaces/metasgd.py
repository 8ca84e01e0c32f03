"""Meta-SGD (Li et al. 2017). Beside the ranges: the paper's values."""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE: Space = {
    "method.inner_lr_high": Float(0.01, 2.0, log=True),  # 0.1; rates start between 0.005 and this
    "method.inner_steps": Int(1, 5),  # 1
    "method.eval_inner_steps": Int(1, 5),  # 1
    "train.meta_lr": Float(1e-4, 1e-2, log=True),  # 1e-3
    "train.meta_batch_size": Choice((4, 8, 16, 32)),  # 32; 20-way 16
    "model.width": Choice((32, 64)),  # 64
}
