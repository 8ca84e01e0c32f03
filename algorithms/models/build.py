"""The networks by their name in the config."""

from __future__ import annotations

from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.conv4 import Conv4, Reduce
from metaray.algorithms.models.mlp import MLP
from metaray.algorithms.models.resnet12 import ResNet12
from metaray.algorithms.models.wide_resnet import WideResNet

_CONV4: dict[str, Reduce] = {"conv4": "pool", "conv4_strided": "stride", "conv4_map": "map"}


def build_backbone(config: ModelConfig, input_shape: tuple[int, ...]) -> Backbone:
    """The backbone of ``config`` for inputs of ``input_shape``.

    Raises:
        InputError: the network cannot take such inputs.
    """
    if config.name == "mlp":
        return MLP(input_shape, config.width, config.depth)
    if config.name == "resnet12":
        return ResNet12(input_shape, config.width, config.norm, config.drop_block)
    if config.name == "wrn28_10":
        return WideResNet(input_shape, config.width, config.norm)
    if config.name == "torchvision":
        # a second to import, which only those who use it should wait for
        from metaray.algorithms.models.torchvision_backbone import TorchvisionBackbone

        return TorchvisionBackbone(input_shape, config.arch, config.weights, config.norm)
    return Conv4(input_shape, config.width, _CONV4[config.name], config.norm)
