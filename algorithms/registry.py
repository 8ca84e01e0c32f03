"""The methods by name. No torch is imported until a method is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaray.algorithms.errors import InputError
from metaray.algorithms.methods.method_section import MethodSection
from metaray.algorithms.open_registry import SectionRegistry

if TYPE_CHECKING:
    from metaray.algorithms.algorithm import Algorithm
    from metaray.algorithms.losses import Kind
    from metaray.algorithms.models.backbone import Backbone

METHODS = SectionRegistry(
    key="method.name",
    group="metaray.methods",
    builtin={
        "maml": "metaray.algorithms.methods.maml_config:MAMLConfig",
        "fomaml": "metaray.algorithms.methods.maml_config:FOMAMLConfig",
        "anil": "metaray.algorithms.methods.anil_config:ANILConfig",
        "reptile": "metaray.algorithms.methods.reptile_config:ReptileConfig",
        "protonet": "metaray.algorithms.methods.protonet_config:ProtoNetConfig",
        "mamlpp": "metaray.algorithms.methods.mamlpp_config:MAMLPlusPlusConfig",
        "metasgd": "metaray.algorithms.methods.metasgd_config:MetaSGDConfig",
        "imaml": "metaray.algorithms.methods.imaml_config:ImplicitMAMLConfig",
        "protomaml": "metaray.algorithms.methods.protomaml_config:ProtoMAMLConfig",
        "matching": "metaray.algorithms.methods.matching_config:MatchingConfig",
        "relation": "metaray.algorithms.methods.relation_config:RelationConfig",
        "siamese": "metaray.algorithms.methods.siamese_config:SiameseConfig",
        "mann": "metaray.algorithms.methods.mann_config:MANNConfig",
        "snail": "metaray.algorithms.methods.snail_config:SNAILConfig",
        "caml": "metaray.algorithms.methods.caml_config:CAMLConfig",
        "baseline": "metaray.algorithms.methods.baseline_config:BaselineConfig",
        "baselinepp": "metaray.algorithms.methods.baseline_config:BaselinePPConfig",
        "nearest_mean": "metaray.algorithms.methods.heads_config:NearestMeanConfig",
        "knn": "metaray.algorithms.methods.heads_config:NearestNeighboursConfig",
        "logistic": "metaray.algorithms.methods.heads_config:LogisticConfig",
        "ridge": "metaray.algorithms.methods.heads_config:RidgeConfig",
        "lda": "metaray.algorithms.methods.heads_config:LDAConfig",
        "pt_map": "metaray.algorithms.methods.heads_config:PTMAPConfig",
        "laplacianshot": "metaray.algorithms.methods.heads_config:LaplacianShotConfig",
    },
    base=MethodSection,
)
"""The config class of each method, by name."""


def build_algorithm(
    config: MethodSection, backbone: Backbone, kind: Kind, num_outputs: int
) -> Algorithm:
    """The method of ``config`` over ``backbone``.

    Raises:
        InputError: the method cannot learn tasks of this ``kind``.
    """
    if kind == "regression" and not config.learns_regression:
        able = [name for name, cls in METHODS.items() if cls.learns_regression]
        raise InputError(
            f"{config.name} classifies and cannot learn a regression task: set method.name to "
            f"one of {', '.join(able)}, or data.name to a set with classes"
        )
    factory = METHODS.implementation(config.name)
    algorithm: Algorithm = factory(backbone, kind, num_outputs, config)
    return algorithm
