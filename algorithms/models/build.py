"""The networks by their name in the config."""

from __future__ import annotations

from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.conv4 import Conv4
from metaray.algorithms.models.mlp import MLP


def build_backbone(config: ModelConfig, input_shape: tuple[int, ...]) -> Backbone:
    """The backbone of ``config`` for inputs of ``input_shape``.

    Raises:
        InputError: the network cannot take such inputs.
    """
    if config.name == "mlp":
        return MLP(input_shape, config.width, config.depth)
    return Conv4(input_shape, config.width, "pool" if config.name == "conv4" else "stride")
