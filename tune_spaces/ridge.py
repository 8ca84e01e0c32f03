"""Ridge regression on features (Bertinetto et al. 2019).

The scale of the logits changes no prediction; in training it changes the loss.
"""

from __future__ import annotations

from metaray.tune_spaces.space import Choice, Float, Space

SPACE: Space = {
    "method.penalty": Float(1e-3, 1e3, log=True),
    "method.normalise": Choice((True, False)),
    "method.scale": Float(1.0, 100.0, log=True),
    "train.meta_lr": Float(1e-4, 1e-2, log=True),  # 1e-3, of the network below
}
