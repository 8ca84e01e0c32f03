"""Linear discriminants on frozen features; the shrinkage is that of Ledoit & Wolf, unsearched."""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Space

SPACE: Space = {
    "method.covariance": Choice(("pooled", "class")),
    "method.normalise": Choice((True, False)),
}
