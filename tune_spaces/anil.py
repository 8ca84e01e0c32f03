"""ANIL (Raghu et al. 2020). Beside the ranges: the values of the published FC100 experiment."""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE: Space = {
    "method.inner_lr": Float(0.01, 2.0, log=True),  # 0.1; the head alone bears larger steps
    "method.inner_steps": Int(1, 10),  # 5
    "method.eval_inner_steps": Int(1, 20),
    "train.meta_lr": Float(1e-4, 1e-2, log=True),  # 1e-3
    "train.meta_batch_size": Choice((4, 8, 16, 32)),  # 32
    "model.width": Choice((32, 64)),
    "task.train_shots": Int(1, 10),  # as the test has; Omniglot has 20 images of a class
    "train.schedule": Choice(("constant", "cosine")),  # constant
}
