"""Implicit MAML (Rajeswaran et al. 2019). Beside the ranges: the values of the authors' code."""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE: Space = {
    "method.inner_lr": Float(0.01, 0.3, log=True),  # 0.1
    "method.inner_steps": Int(5, 25),  # 16; 20-way 25
    "method.eval_inner_steps": Int(5, 25),  # as many
    "method.proximal": Float(0.1, 5.0, log=True),  # 2.0
    "method.cg_steps": Int(1, 10),  # 5
    "train.meta_lr": Float(1e-4, 1e-2, log=True),  # 1e-3
    "train.meta_batch_size": Choice((4, 8, 16, 32)),  # 32
    "model.width": Choice((32, 64)),  # 64
}
