"""The networks by their name in the config."""

from __future__ import annotations

from torch import nn

from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.registry import MODELS

Shape = tuple[int, ...]


def build_backbone(config: ModelConfig, input_shape: Shape) -> Backbone:
    """The backbone of ``config`` for inputs of ``input_shape``.

    Raises:
        InputError: the network cannot take such inputs.
    """
    build = MODELS.implementation(config.name)
    if isinstance(build, type) and issubclass(build, Backbone):
        return build(input_shape, config)  # type: ignore[call-arg]
    if config.name in MODELS.builtin:
        backbone: Backbone = build(input_shape, config)
        return backbone
    made = build(input_shape, config)
    if isinstance(made, Backbone):
        return made
    if not isinstance(made, nn.Module):
        raise InputError(
            f"model.name = {config.name} makes a {type(made).__name__}: return a torch.nn.Module "
            "or a Backbone"
        )
    from metaray.algorithms.models.module_backbone import ModuleBackbone

    return ModuleBackbone(
        lambda: build(input_shape, config), input_shape, config.norm, config.label
    )


def conv4(input_shape: Shape, config: ModelConfig) -> Backbone:
    """Four blocks with max pooling."""
    from metaray.algorithms.models.conv4 import Conv4

    return Conv4(input_shape, config.width, "pool", config.norm)


def conv4_strided(input_shape: Shape, config: ModelConfig) -> Backbone:
    """Four blocks with stride 2, and the mean over space."""
    from metaray.algorithms.models.conv4 import Conv4

    return Conv4(input_shape, config.width, "stride", config.norm)


def conv4_map(input_shape: Shape, config: ModelConfig) -> Backbone:
    """Four blocks, of which the last two do not pool."""
    from metaray.algorithms.models.conv4 import Conv4

    return Conv4(input_shape, config.width, "map", config.norm)


def resnet12(input_shape: Shape, config: ModelConfig) -> Backbone:
    """A residual network of four blocks."""
    from metaray.algorithms.models.resnet12 import ResNet12

    return ResNet12(input_shape, config.width, config.norm, config.drop_block)


def wrn28_10(input_shape: Shape, config: ModelConfig) -> Backbone:
    """A wide residual network."""
    from metaray.algorithms.models.wide_resnet import WideResNet

    return WideResNet(input_shape, config.width, config.norm)


def mlp(input_shape: Shape, config: ModelConfig) -> Backbone:
    """Linear layers."""
    from metaray.algorithms.models.mlp import MLP

    return MLP(input_shape, [config.width] * config.depth)


def mlp_norm(input_shape: Shape, config: ModelConfig) -> Backbone:
    """Linear layers with a norm behind each."""
    from metaray.algorithms.models.mlp import MLP

    width = config.width
    return MLP(input_shape, [4 * width, 2 * width, width, width], config.norm)


def identity(input_shape: Shape, config: ModelConfig) -> Backbone:
    """The inputs themselves."""
    from metaray.algorithms.models.identity import Identity

    return Identity(input_shape)


def torchvision(input_shape: Shape, config: ModelConfig) -> Backbone:
    """A network of torchvision, which takes a second to import."""
    from metaray.algorithms.models.torchvision_backbone import TorchvisionBackbone

    return TorchvisionBackbone(input_shape, config.arch, config.weights, config.norm)


def timm(input_shape: Shape, config: ModelConfig) -> Backbone:
    """A network of timm, another package."""
    from metaray.algorithms.models.timm_backbone import TimmBackbone

    return TimmBackbone(input_shape, config.arch, config.weights, config.norm)
