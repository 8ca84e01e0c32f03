"""The meta-learning methods: ``mr.MAML(mr.models.Conv4(), inner_lr=0.4)``.

Settings that are left out have the published value for the data.

>>> MAML(inner_lr=0.4)
Method('maml', inner_lr=0.4)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, cast

from metaray.algorithms.methods.anil_config import ANILConfig
from metaray.algorithms.methods.baseline_config import BaselineConfig, BaselinePPConfig
from metaray.algorithms.methods.caml_config import CAMLConfig
from metaray.algorithms.methods.heads_config import (
    LaplacianShotConfig,
    LDAConfig,
    LogisticConfig,
    NearestMeanConfig,
    NearestNeighboursConfig,
    PTMAPConfig,
    RidgeConfig,
)
from metaray.algorithms.methods.imaml_config import ImplicitMAMLConfig
from metaray.algorithms.methods.maml_config import FOMAMLConfig, MAMLConfig
from metaray.algorithms.methods.mamlpp_config import MAMLPlusPlusConfig
from metaray.algorithms.methods.mann_config import MANNConfig
from metaray.algorithms.methods.matching_config import MatchingConfig
from metaray.algorithms.methods.metasgd_config import MetaSGDConfig
from metaray.algorithms.methods.method_section import MethodSection
from metaray.algorithms.methods.protomaml_config import ProtoMAMLConfig
from metaray.algorithms.methods.protonet_config import ProtoNetConfig
from metaray.algorithms.methods.relation_config import RelationConfig
from metaray.algorithms.methods.reptile_config import ReptileConfig
from metaray.algorithms.methods.siamese_config import SiameseConfig
from metaray.algorithms.methods.snail_config import SNAILConfig
from metaray.algorithms.registry import METHODS
from metaray.platform.api.models import NetworkLike, model_of
from metaray.platform.api.parts import Keywords, Part

P = ParamSpec("P")

_MODEL = {
    "model": "the network, such as `mr.models.Conv4()`, or a class of your own: a torch.nn.Module "
    "whose arguments are the shape of an input and the settings of the section `model`"
}


class Method(Part):
    """A method by name: ``Method("maml", inner_lr=0.4)`` is the same as ``MAML(inner_lr=0.4)``."""

    def __init__(self, name: str, model: NetworkLike | None = None, /, **settings: Any) -> None:
        super().__init__(name, **settings)
        self.model = model_of(model)


class MethodBuilder(Protocol[P]):
    """A function that takes a network and the settings of a method and returns a ``Method``."""

    def __call__(
        self, model: NetworkLike | None = None, /, *args: P.args, **settings: P.kwargs
    ) -> Method:
        """The method with these settings."""


def _method(shown: str, config: Callable[P, MethodSection]) -> MethodBuilder[P]:
    config_class = cast(type[MethodSection], config)
    name = config_class.model_fields["name"].default
    keywords = Keywords(config_class, first=_MODEL)

    def build(model: NetworkLike | None = None, /, **settings: Any) -> Method:
        keywords.check(shown, settings)
        return Method(name, model, **settings)

    keywords.describe(build, shown, f"{config_class.__doc__}\n\n{METHODS[name].paper}")
    return cast(MethodBuilder[P], build)


MAML = _method("MAML", MAMLConfig)
FOMAML = _method("FOMAML", FOMAMLConfig)
ANIL = _method("ANIL", ANILConfig)
Reptile = _method("Reptile", ReptileConfig)
ProtoNet = _method("ProtoNet", ProtoNetConfig)
MAMLPlusPlus = _method("MAMLPlusPlus", MAMLPlusPlusConfig)
MetaSGD = _method("MetaSGD", MetaSGDConfig)
ImplicitMAML = _method("ImplicitMAML", ImplicitMAMLConfig)
ProtoMAML = _method("ProtoMAML", ProtoMAMLConfig)
MatchingNetwork = _method("MatchingNetwork", MatchingConfig)
RelationNetwork = _method("RelationNetwork", RelationConfig)
SiameseNetwork = _method("SiameseNetwork", SiameseConfig)
MANN = _method("MANN", MANNConfig)
SNAIL = _method("SNAIL", SNAILConfig)
CAML = _method("CAML", CAMLConfig)
Baseline = _method("Baseline", BaselineConfig)
BaselinePlusPlus = _method("BaselinePlusPlus", BaselinePPConfig)
NearestMean = _method("NearestMean", NearestMeanConfig)
NearestNeighbours = _method("NearestNeighbours", NearestNeighboursConfig)
LogisticRegression = _method("LogisticRegression", LogisticConfig)
RidgeRegression = _method("RidgeRegression", RidgeConfig)
LinearDiscriminants = _method("LinearDiscriminants", LDAConfig)
PTMAP = _method("PTMAP", PTMAPConfig)
LaplacianShot = _method("LaplacianShot", LaplacianShotConfig)
