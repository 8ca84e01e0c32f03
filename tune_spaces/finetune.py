"""Fine-tuning. The default stands beside each range."""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE: Space = {
    "job.strategy": Choice(("full", "head", "last_blocks", "discriminative", "gradual")),  # full
    "job.last_blocks": Int(1, 3, when={"job.strategy": "last_blocks"}),  # 1
    "job.rate_factor": Float(1.5, 5.0, when={"job.strategy": "discriminative"}),  # 2.6
    "job.unfreeze_share": Float(0.2, 0.9, when={"job.strategy": "gradual"}),  # 0.5
    "job.l2_sp": Float(0.0, 0.1, when={"job.strategy": "full"}),  # 0
    "job.dropout": Float(0.0, 0.5),  # 0
    "train.lr": Float(1e-3, 0.3, log=True),  # 0.01
    "train.weight_decay": Float(1e-6, 1e-2, log=True),  # 1e-4
}
