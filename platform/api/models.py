"""Networks that can be meta-trained: ``mr.models.Conv4(width=32)``.

Settings that are left out have the published value for method and data.

>>> Conv4(width=32)
Model('conv4', width=32)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, cast

from metaray.algorithms.configs import ModelConfig
from metaray.platform.api.parts import Keywords, Part

P = ParamSpec("P")


class Model(Part):
    """A network by name: ``Model("conv4", width=32)`` is the same as ``Conv4(width=32)``."""


class ModelBuilder(Protocol[P]):
    """A function that takes the settings of a network and returns a ``Model``."""

    def __call__(self, *args: P.args, **settings: P.kwargs) -> Model:
        """The network with these settings."""


def _builder(config: Callable[P, ModelConfig]) -> Callable[[str, str, str], ModelBuilder[P]]:
    keywords = Keywords(ModelConfig)

    def network(shown: str, name: str, summary: str) -> ModelBuilder[P]:
        def build(**settings: Any) -> Model:
            keywords.check(shown, settings)
            return Model(name, **settings)

        keywords.describe(build, shown, summary)
        return cast(ModelBuilder[P], build)

    return network


_network = _builder(ModelConfig)

Conv4 = _network("Conv4", "conv4", "Four 3x3 convolutions with max pooling.")
Conv4Strided = _network(
    "Conv4Strided", "conv4_strided", "Four 3x3 convolutions with stride 2 and a mean over space."
)
Conv4Map = _network(
    "Conv4Map", "conv4_map", "Conv4 with pooling in two blocks only: features are a map."
)
ResNet12 = _network("ResNet12", "resnet12", "The residual network of 12 layers.")
WideResNet = _network("WideResNet", "wrn28_10", "The wide residual network WRN-28-10.")
Torchvision = _network("Torchvision", "torchvision", "A network of torchvision, named by `arch`.")
MLP = _network("MLP", "mlp", "Fully connected layers.")
