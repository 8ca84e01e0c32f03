"""Domain adaptation (Ganin et al. 2016). The paper's values stand beside the ranges.

Validation is on the source, which says little of the weight: it can tell only what costs too much.
"""

from __future__ import annotations

from metaray.tune_spaces.space import Float, Space

SPACE: Space = {
    "job.weight": Float(0.1, 3.0, log=True, when={"job.adaptation": "dann"}),  # 1
    "train.lr": Float(1e-3, 0.1, log=True),  # 0.01
    "train.weight_decay": Float(0.0, 1e-3),  # 0
    "train.momentum": Float(0.5, 0.95),  # 0.9
}
