"""The networks by name. No torch is imported until one is built."""

from __future__ import annotations

from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.open_registry import SectionRegistry

_BUILD = "metaray.algorithms.models.build"
_OURS = ("conv4", "conv4_strided", "conv4_map", "resnet12", "wrn28_10", "torchvision", "mlp")

MODELS = SectionRegistry(
    key="model.name",
    group="metaray.models",
    builtin={name: f"{_BUILD}:{name}" for name in _OURS},
    base=ModelConfig,
    own_class=False,
)
"""What builds each network: ``(input_shape, config)`` to a ``Backbone`` or ``torch.nn.Module``."""
