"""The learning rate as a pure function of the step, so that a resumed job cannot drift."""

from __future__ import annotations

from math import cos, pi

from metaray.algorithms.outer_loop_registry import rate_factor
from metaray.platform.config.transfer import TransferTrainConfig


def lr_at(step: int, steps: int, train: TransferTrainConfig) -> float:
    """The learning rate of ``step`` (0-based) of ``steps``."""
    warm = round(train.warmup * steps)
    if step < warm:
        return train.lr * (step + 1) / (warm + 1)
    share = (step - warm) / max(1, steps - warm)
    if train.schedule == "cosine":
        return train.lr * (1 + cos(pi * share)) / 2
    if train.schedule == "step":
        reductions = sum(share >= at for at in train.lr_steps)
        return float(train.lr * train.lr_step_factor**reductions)
    if train.schedule == "dann":
        return float(train.lr / (1 + 10 * share) ** 0.75)
    if train.schedule == "constant":
        return train.lr
    return train.lr * rate_factor(train.schedule, share)
