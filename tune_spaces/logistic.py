"""Logistic regression on frozen features (Tian et al. 2020)."""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Space

SPACE: Space = {
    "method.penalty": Float(1e-3, 1e3, log=True),  # 1
    "method.normalise": Choice((True, False)),  # true
    "train.meta_lr": Float(1e-4, 1e-2, log=True),  # 1e-3, of the network below
}
