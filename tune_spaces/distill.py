"""Distillation (Hinton et al. 2015). The defaults stand beside the ranges."""

from __future__ import annotations

from metaray.tune_spaces.space import Float, Space

SPACE: Space = {
    "job.temperature": Float(1.0, 20.0, log=True),  # 4
    "job.soft_weight": Float(0.1, 1.0),  # 0.9
    "job.label_weight": Float(0.0, 1.0),  # 0.1
    "job.hint_weight": Float(0.0, 1.0),  # 0
    "train.lr": Float(5e-3, 0.5, log=True),  # 0.05
    "train.weight_decay": Float(1e-5, 5e-3, log=True),  # 5e-4
}
