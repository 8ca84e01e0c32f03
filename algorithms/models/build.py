"""The networks by their name in the config."""

from __future__ import annotations

from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.conv4 import Conv4, Reduce
from metaray.algorithms.models.mlp import MLP

_CONV4: dict[str, Reduce] = {"conv4": "pool", "conv4_strided": "stride", "conv4_map": "map"}


def build_backbone(config: ModelConfig, input_shape: tuple[int, ...]) -> Backbone:
    """The backbone of ``config`` for inputs of ``input_shape``.

    Raises:
        InputError: the network cannot take such inputs.
    """
    if config.name == "mlp":
        return MLP(input_shape, config.width, config.depth)
    return Conv4(input_shape, config.width, _CONV4[config.name])
