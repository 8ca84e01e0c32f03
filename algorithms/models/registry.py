"""The networks by name. No torch is imported until one is built."""

from __future__ import annotations

import re
from typing import Any

from typing_extensions import override

from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.errors import InputError
from metaray.algorithms.open_registry import SectionRegistry

_BUILD = "metaray.algorithms.models.build"
ANY_INPUT = ("mlp", "mlp_norm", "identity")
"""those of ours that take inputs of any shape"""
_OURS = (
    *("conv4", "conv4_strided", "conv4_map", "resnet12", "wrn28_10", "torchvision", "timm"),
    *ANY_INPUT,
)
_TORCHVISION = re.compile(
    r"resnet(18|34|50|101|152)$|(wide_)?resn(e|ex)t\d+_|vgg|mobilenet|efficientnet|densenet|vit_|"
    r"swin|convnext|regnet|shufflenet|squeezenet|alexnet|googlenet|inception|mnasnet|maxvit"
)
"""how torchvision's names begin"""


class Models(SectionRegistry[ModelConfig]):
    """The networks."""

    @override
    def target(self, name: str) -> Any:
        package, _, arch = str(name).partition(":")
        if arch and package in ("timm", "torchvision"):
            raise InputError(
                f"model.name = {name!r} is a network of {package}: set model.name={package} and "
                f"model.arch={arch}"
            )
        return super().target(name)

    @override
    def _hint(self, name: str) -> str:
        if not _TORCHVISION.match(name.lower()):
            return ""
        return (
            f"model.name = {name!r} is a network of torchvision: set model.name=torchvision and "
            f"model.arch={name.lower()}"
        )


MODELS = Models(
    key="model.name",
    group="metaray.models",
    builtin={name: f"{_BUILD}:{name}" for name in _OURS},
    base=ModelConfig,
    own_class=False,
)
"""What builds each network: ``(input_shape, config)`` to a ``Backbone`` or ``torch.nn.Module``."""
