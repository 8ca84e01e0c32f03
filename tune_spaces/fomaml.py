"""First-order MAML (Finn et al. 2017): MAML's settings, and MAML's ranges for the same reasons.

A step without second derivatives is cheaper, so more steps and larger batches are affordable.
"""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE: Space = {
    "method.inner_lr": Float(0.02, 5.0, log=True),  # 2.0 for a mean loss; miniImageNet 0.05
    "method.inner_steps": Int(1, 10),  # 1; 20-way and miniImageNet 5
    "method.eval_inner_steps": Int(1, 15),  # 3; 20-way 5, miniImageNet 10
    "train.meta_lr": Float(1e-4, 1e-2, log=True),  # 1e-3
    "train.meta_batch_size": Choice((4, 8, 16, 32, 64)),  # 32; 20-way 16, miniImageNet 4
    "model.width": Choice((32, 64)),  # 64; miniImageNet 32
    "task.train_shots": Int(1, 10),  # as the test has; Omniglot has 20 images of a class
    "train.schedule": Choice(("constant", "cosine")),  # constant
}
