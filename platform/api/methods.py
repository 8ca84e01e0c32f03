"""The meta-learning methods: ``mr.MAML(mr.models.Conv4(), inner_lr=0.4)``.

Settings that are left out have the published value for the data.

>>> MAML(inner_lr=0.4)
Method('maml', inner_lr=0.4)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, cast

from metaray.algorithms.methods import configs
from metaray.algorithms.registry import METHODS
from metaray.platform.api.models import Model
from metaray.platform.api.parts import Keywords, Part

P = ParamSpec("P")

_MODEL = {"model": "the network, such as `mr.models.Conv4()`"}


class Method(Part):
    """A method by name: ``Method("maml", inner_lr=0.4)`` is the same as ``MAML(inner_lr=0.4)``."""

    def __init__(self, name: str, model: Model | None = None, /, **settings: Any) -> None:
        super().__init__(name, **settings)
        self.model = model


class MethodBuilder(Protocol[P]):
    """A function that takes a network and the settings of a method and returns a ``Method``."""

    def __call__(
        self, model: Model | None = None, /, *args: P.args, **settings: P.kwargs
    ) -> Method:
        """The method with these settings."""


def _method(shown: str, config: Callable[P, configs.MethodSection]) -> MethodBuilder[P]:
    config_class = cast(type[configs.MethodSection], config)
    name = config_class.model_fields["name"].default
    keywords = Keywords(config_class, first=_MODEL)

    def build(model: Model | None = None, /, **settings: Any) -> Method:
        keywords.check(shown, settings)
        return Method(name, model, **settings)

    keywords.describe(build, shown, f"{config_class.__doc__}\n\n{METHODS[name].paper}")
    return cast(MethodBuilder[P], build)


MAML = _method("MAML", configs.MAMLConfig)
FOMAML = _method("FOMAML", configs.FOMAMLConfig)
ANIL = _method("ANIL", configs.ANILConfig)
Reptile = _method("Reptile", configs.ReptileConfig)
ProtoNet = _method("ProtoNet", configs.ProtoNetConfig)
MAMLPlusPlus = _method("MAMLPlusPlus", configs.MAMLPlusPlusConfig)
MetaSGD = _method("MetaSGD", configs.MetaSGDConfig)
ProtoMAML = _method("ProtoMAML", configs.ProtoMAMLConfig)
MatchingNetwork = _method("MatchingNetwork", configs.MatchingConfig)
RelationNetwork = _method("RelationNetwork", configs.RelationConfig)
SiameseNetwork = _method("SiameseNetwork", configs.SiameseConfig)
MANN = _method("MANN", configs.MANNConfig)
SNAIL = _method("SNAIL", configs.SNAILConfig)
Baseline = _method("Baseline", configs.BaselineConfig)
BaselinePlusPlus = _method("BaselinePlusPlus", configs.BaselinePPConfig)
