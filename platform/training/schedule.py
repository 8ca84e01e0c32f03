"""The outer step size as a pure function of the step, so that a resumed run cannot drift."""

from __future__ import annotations

from math import cos, pi

from metaray.algorithms.outer_loop_registry import rate_factor
from metaray.platform.config.schema import TrainConfig


def looks_ahead(train: TrainConfig) -> bool:
    """Whether each step size follows from the number of outer steps that are planned."""
    return train.schedule not in ("constant", "step")


def meta_lr_at(step: int, train: TrainConfig) -> float:
    """The step size of outer step ``step`` (0-based) of ``train.outer_steps``."""
    if train.schedule == "constant":
        return train.meta_lr
    if train.schedule == "step":
        return train.meta_lr * train.lr_step_factor ** (step // train.lr_step_every)
    progress = step / train.outer_steps
    if train.schedule not in ("linear", "cosine"):
        return train.meta_lr * rate_factor(train.schedule, progress)
    share = 1 - progress if train.schedule == "linear" else (1 + cos(pi * progress)) / 2
    return train.min_meta_lr + (train.meta_lr - train.min_meta_lr) * share
