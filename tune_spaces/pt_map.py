"""PT-MAP on frozen features (Hu et al. 2021)."""

from __future__ import annotations

from metaray.tune_spaces.space import Float, Int, Space

SPACE: Space = {
    "method.power": Float(0.25, 1.0),  # 0.5
    "method.sinkhorn_lambda": Float(1.0, 100.0, log=True),  # 10
    "method.steps": Int(5, 40),  # 20
    "method.step_size": Float(0.05, 1.0, log=True),  # 0.2
    "train.meta_lr": Float(1e-4, 1e-2, log=True),  # 1e-3, of the network below
}
