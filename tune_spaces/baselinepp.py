"""Baseline++ (Chen et al. 2019): the space of Baseline, and the factors of the cosines."""

from __future__ import annotations

from metaray.tune_spaces.baseline import SPACE as _BASELINE
from metaray.tune_spaces.space import Float, Space

SPACE: Space = _BASELINE | {
    "method.scale": Float(1.0, 50.0, log=True),  # 2; 10 for more than 200 classes
    "method.eval_scale": Float(1.0, 50.0, log=True),  # 2
}
