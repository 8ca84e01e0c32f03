"""MAML (Finn et al. 2017). The paper's values stand beside the ranges, Omniglot 5-way first.

The published inner rates, 0.4 for Omniglot and 0.01 for miniImageNet, belong to a loss that is
summed over the classes. metaray's loss is a mean, for which the same steps need five times as much.
"""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE: Space = {
    "method.inner_lr": Float(0.02, 5.0, log=True),  # 2.0; miniImageNet 0.05
    "method.inner_steps": Int(1, 5),  # 1; 20-way and miniImageNet 5
    "method.eval_inner_steps": Int(1, 10),  # 3; 20-way 5, miniImageNet 10
    "train.meta_lr": Float(1e-4, 1e-2, log=True),  # 1e-3
    "train.meta_batch_size": Choice((4, 8, 16, 32)),  # 32; 20-way 16, miniImageNet 4
    "model.width": Choice((32, 64)),  # 64; miniImageNet 32
    "task.train_shots": Int(1, 10),  # as the test has; Omniglot has 20 images of a class
    "train.schedule": Choice(("constant", "cosine")),  # constant
}
