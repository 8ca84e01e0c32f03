"""The methods by name: a plain table. No torch is imported until a method is built."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, get_args

from metaray.algorithms.errors import InputError
from metaray.algorithms.methods.configs import MethodConfig, MethodSection

if TYPE_CHECKING:
    from metaray.algorithms.algorithm import Algorithm
    from metaray.algorithms.losses import Kind
    from metaray.algorithms.models.backbone import Backbone


@dataclass(frozen=True, kw_only=True)
class Method:
    """What a user sees of a method, and where its code is."""

    summary: str
    paper: str
    module: str
    class_name: str


METHODS: dict[str, Method] = {
    "maml": Method(
        summary="learns an initialisation; exact gradient through the inner steps",
        paper="Finn, Abbeel & Levine, ICML 2017, arXiv 1703.03400",
        module="metaray.algorithms.methods.maml",
        class_name="MAML",
    ),
    "fomaml": Method(
        summary="MAML without second derivatives: cheaper, nearly as good",
        paper="Finn, Abbeel & Levine, ICML 2017, section 5.2, arXiv 1703.03400",
        module="metaray.algorithms.methods.maml",
        class_name="MAML",
    ),
    "anil": Method(
        summary="MAML that adapts the head only",
        paper="Raghu, Raghu, Bengio & Vinyals, ICLR 2020, arXiv 1909.09157",
        module="metaray.algorithms.methods.anil",
        class_name="ANIL",
    ),
    "reptile": Method(
        summary="moves towards the weights that plain training on each task reaches",
        paper="Nichol, Achiam & Schulman 2018, arXiv 1803.02999",
        module="metaray.algorithms.methods.reptile",
        class_name="Reptile",
    ),
    "protonet": Method(
        summary="nearest class mean in a learned embedding; no inner loop",
        paper="Snell, Swersky & Zemel, NIPS 2017, arXiv 1703.05175",
        module="metaray.algorithms.methods.protonet",
        class_name="ProtoNet",
    ),
    "mamlpp": Method(
        summary="MAML with multi-step loss, learned rates and norms of each inner step",
        paper="Antoniou, Edwards & Storkey, ICLR 2019, arXiv 1810.09502",
        module="metaray.algorithms.methods.mamlpp",
        class_name="MAMLPlusPlus",
    ),
    "metasgd": Method(
        summary="MAML with a learned step size of each parameter; one inner step",
        paper="Li, Zhou, Chen & Li 2017, arXiv 1707.09835",
        module="metaray.algorithms.methods.metasgd",
        class_name="MetaSGD",
    ),
    "protomaml": Method(
        summary="MAML whose head starts from the prototypes of the support set",
        paper="Triantafillou et al., ICLR 2020, arXiv 1903.03096",
        module="metaray.algorithms.methods.protomaml",
        class_name="ProtoMAML",
    ),
    "matching": Method(
        summary="attention over the support set by cosine; full-context embeddings optional",
        paper="Vinyals, Blundell, Lillicrap, Kavukcuoglu & Wierstra, NIPS 2016, arXiv 1606.04080",
        module="metaray.algorithms.methods.matching",
        class_name="MatchingNetwork",
    ),
    "relation": Method(
        summary="learns the comparison of feature maps, too",
        paper="Sung, Yang, Zhang, Xiang, Torr & Hospedales, CVPR 2018, arXiv 1711.06025",
        module="metaray.algorithms.methods.relation",
        class_name="RelationNetwork",
    ),
    "siamese": Method(
        summary="nearest support example in an embedding learned from pairs or triplets",
        paper="Koch, Zemel & Salakhutdinov, ICML deep learning workshop 2015",
        module="metaray.algorithms.methods.siamese",
        class_name="SiameseNetwork",
    ),
    "mann": Method(
        summary="an LSTM that writes examples and labels to an external memory",
        paper="Santoro et al., ICML 2016, arXiv 1605.06065",
        module="metaray.algorithms.methods.mann",
        class_name="MANN",
    ),
    "snail": Method(
        summary="temporal convolutions and attention over the labelled examples",
        paper="Mishra, Rohaninejad, Chen & Abbeel, ICLR 2018, arXiv 1707.03141",
        module="metaray.algorithms.methods.snail",
        class_name="SNAIL",
    ),
    "baseline": Method(
        summary="ordinary training on all classes, then a new linear head for each task",
        paper="Chen, Liu, Kira, Wang & Huang, ICLR 2019, arXiv 1904.04232",
        module="metaray.algorithms.methods.baseline",
        class_name="Baseline",
    ),
    "baselinepp": Method(
        summary="ordinary training on all classes, then a new head of cosine similarities",
        paper="Chen, Liu, Kira, Wang & Huang, ICLR 2019, arXiv 1904.04232",
        module="metaray.algorithms.methods.baseline",
        class_name="BaselinePP",
    ),
}


def build_algorithm(
    config: MethodConfig, backbone: Backbone, kind: Kind, num_outputs: int
) -> Algorithm:
    """The method of ``config`` over ``backbone``.

    Raises:
        InputError: the method cannot learn tasks of this ``kind``.
    """
    if kind == "regression" and not config.learns_regression:
        able = [name for name, cls in config_classes().items() if cls.learns_regression]
        raise InputError(
            f"{config.name} classifies and cannot learn a regression task: set method.name to "
            f"one of {', '.join(able)}, or data.name to a set with classes"
        )
    method = METHODS[config.name]
    factory = getattr(import_module(method.module), method.class_name)
    algorithm: Algorithm = factory(backbone, kind, num_outputs, config)
    return algorithm


def config_classes() -> dict[str, type[MethodSection]]:
    """The config class of each method, by name."""
    union = get_args(MethodConfig)[0]
    return {cls.model_fields["name"].default: cls for cls in get_args(union)}
