"""MAML++ (Antoniou et al. 2019). Beside the ranges: the authors' values for Omniglot."""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE: Space = {
    "method.inner_lr": Float(0.01, 2.0, log=True),  # 0.1, then learned; miniImageNet 0.01
    "method.inner_steps": Int(1, 5),  # 5
    "method.multi_step_share": Float(0.0, 0.5),  # 10 of 100 epochs; miniImageNet 15
    "method.first_order_share": Float(0.0, 0.9),  # 50 of 100 epochs in the paper, 0 in the code
    "train.meta_lr": Float(1e-4, 1e-2, log=True),  # 1e-3, by a cosine to 1e-5
    "train.meta_batch_size": Choice((2, 4, 8, 16, 32)),  # 8; miniImageNet 2
    "model.width": Choice((32, 48, 64)),  # 64; miniImageNet 48
}
