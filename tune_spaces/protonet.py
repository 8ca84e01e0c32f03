"""Prototypical networks (Snell et al. 2017). Beside the ranges: the paper's values for Omniglot.

The shots of training are not searched: the paper found them best equal to those of the test, which
is what ``task.train_shots`` is unless set.
"""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE: Space = {
    "task.train_ways": Choice((5, 10, 20, 30, 60)),  # 60: more ways than the test has
    "task.train_queries": Int(1, 15),  # 5
    "train.meta_lr": Float(1e-4, 1e-2, log=True),  # 1e-3, halved every 2,000 episodes
    "train.meta_batch_size": Choice((1, 2, 4, 8)),  # 1
    "model.width": Choice((32, 64)),  # 64
    "train.schedule": Choice(("step", "constant", "cosine")),  # step
    "train.lr_step_every": Int(100, 5000, log=True, when={"train.schedule": "step"}),  # 2000
}
