"""Networks that can be meta-trained: ``mr.models.Conv4(width=32)``.

Settings that are left out have the published value for method and data.

>>> Conv4(width=32)
Model('conv4', width=32)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, Protocol, cast

from metaray.algorithms.configs import ModelConfig
from metaray.algorithms.errors import InputError
from metaray.platform.api.parts import Keywords, Part

P = ParamSpec("P")

_MAIN = "__main__"


class Model(Part):
    """A network by name: ``Model("conv4", width=32)`` is the same as ``Conv4(width=32)``."""


NetworkLike = Model | Callable[[tuple[int, ...], Any], Any]
"""a ``Model``, or a class or function that makes a ``torch.nn.Module`` from the shape of an input
and the section ``model`` of the settings"""


def model_of(network: NetworkLike | None) -> Model | None:
    """``network`` as a section of settings.

    Raises:
        InputError: it has no name by which it can be found again.
    """
    if network is None or isinstance(network, Model):
        return network
    name = getattr(network, "__qualname__", "<object>")
    if "<" in name:
        raise InputError(
            f"a network is found again by its name, and {network!r} has none: give a class or "
            "function that is defined at the top of a file, not an object or a lambda"
        )
    return Model(f"{_place_of(network.__module__)}:{name}")


def check_importable(model: str, other_processes: bool) -> None:
    """Raise InputError where processes of Ray could not import the network called ``model``."""
    if other_processes and model.startswith(f"{_MAIN}:"):
        raise InputError(
            f"{model.rpartition(':')[2]} is defined in the script or notebook itself, where "
            "workers cannot find it: move it to a separate file and import it, or use workers=0"
        )


def _place_of(module: str) -> str:
    """The file of a module that belongs to no package, else its name."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return str(Path(file).absolute()) if file and "." not in module and module != _MAIN else module


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
Timm = _network("Timm", "timm", "A network of timm, named by `arch`.")
MLP = _network("MLP", "mlp", "Fully connected layers.")
MLPNorm = _network("MLPNorm", "mlp_norm", "Four fully connected layers with a norm behind each.")
