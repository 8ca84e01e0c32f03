"""Nearest class mean on frozen features (Wang et al. 2019)."""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Space

SPACE: Space = {
    "method.metric": Choice(("cosine", "euclidean")),  # cosine
}
