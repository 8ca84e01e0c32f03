"""LaplacianShot on frozen features (Ziko et al. 2020), who choose the penalty by validation."""

from __future__ import annotations

from metaray.tune_spaces.space import Float, Int, Space

SPACE: Space = {
    "method.neighbours": Int(1, 10, log=True),  # 3
    "method.penalty": Float(0.05, 2.0, log=True),
    "train.meta_lr": Float(1e-4, 1e-2, log=True),  # 1e-3, of the network below
}
