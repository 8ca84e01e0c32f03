"""Reptile (Nichol et al. 2018). Beside the ranges: the paper's values, Omniglot 5-way first.

The inner rate is Adam's: plain gradient descent needs a larger one, and so it has its own space.
"""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE: Space = {
    "method.inner_lr": Float(1e-4, 1e-2, log=True),  # 1e-3; 20-way 5e-4
    "method.inner_steps": Int(3, 15),  # 5; 20-way 10
    "method.inner_batch": Choice((5, 10, 20)),  # 10; 20-way 20
    "method.eval_inner_steps": Int(10, 100),  # 50
    "task.train_shots": Int(5, 19),  # 10; Omniglot has 20 images of a class
    "train.meta_lr": Float(0.1, 1.0),  # 1, falling to 0: a share of the way to the adapted weights
    "train.meta_batch_size": Choice((1, 5, 10)),  # 5
    "model.width": Choice((32, 64)),  # 64
}
