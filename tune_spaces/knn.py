"""K nearest neighbours on frozen features.

More neighbours than there are shots are of other classes, whose votes count less by distance.
"""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Int, Space

SPACE: Space = {
    "method.neighbours": Int(1, 50, log=True),
    "method.metric": Choice(("cosine", "euclidean")),
    "method.weights": Choice(("uniform", "distance")),
    "train.meta_lr": Float(1e-4, 1e-2, log=True),  # 1e-3, of the network below
}
