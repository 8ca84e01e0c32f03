"""ProtoMAML (Triantafillou et al. 2020). Beside the ranges: the authors' values on ImageNet.

Those are for a network trained from scratch; from a pretrained one the inner rate was 0.0054.
"""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE: Space = {
    "method.inner_lr": Float(0.003, 1.0, log=True),  # 0.31
    "method.inner_steps": Int(1, 10),  # 6
    "method.eval_inner_steps": Int(1, 20),  # 11: five more than in training
    "method.second_order": Choice(("none", "auto")),  # none
    "task.train_ways": Choice((5, 10, 20)),  # 5 to 50, drawn for each episode
    "train.meta_lr": Float(1e-4, 1e-2, log=True),  # 7e-4
    "train.meta_batch_size": Choice((1, 4, 8, 16)),  # 1
    "model.width": Choice((32, 64)),
}
