"""Linear discriminants on frozen features; the shrinkage is that of Ledoit & Wolf, unsearched."""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Space

SPACE: Space = {
    "method.covariance": Choice(("pooled", "class")),
    "method.normalise": Choice((True, False)),
    "train.meta_lr": Float(1e-4, 1e-2, log=True),  # 1e-3, of the network below
}
