"""Nearest class mean on frozen features (Wang et al. 2019)."""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Space

SPACE: Space = {
    "method.metric": Choice(("cosine", "euclidean")),  # cosine
    "train.meta_lr": Float(1e-4, 1e-2, log=True),  # 1e-3, of the network below
}
