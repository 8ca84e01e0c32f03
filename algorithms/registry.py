"""The methods by name: a plain table. No torch is imported until a method is built."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, get_args

from metaray.algorithms import configs
from metaray.algorithms.errors import InputError

if TYPE_CHECKING:
    from metaray.algorithms.algorithm import Algorithm
    from metaray.algorithms.configs import MethodConfig
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
        module="metaray.algorithms.maml",
        class_name="MAML",
    ),
    "fomaml": Method(
        summary="MAML without second derivatives: cheaper, nearly as good",
        paper="Finn, Abbeel & Levine, ICML 2017, section 5.2, arXiv 1703.03400",
        module="metaray.algorithms.maml",
        class_name="MAML",
    ),
    "anil": Method(
        summary="MAML that adapts the head only",
        paper="Raghu, Raghu, Bengio & Vinyals, ICLR 2020, arXiv 1909.09157",
        module="metaray.algorithms.anil",
        class_name="ANIL",
    ),
    "reptile": Method(
        summary="moves towards the weights that plain training on each task reaches",
        paper="Nichol, Achiam & Schulman 2018, arXiv 1803.02999",
        module="metaray.algorithms.reptile",
        class_name="Reptile",
    ),
    "protonet": Method(
        summary="nearest class mean in a learned embedding; no inner loop",
        paper="Snell, Swersky & Zemel, NIPS 2017, arXiv 1703.05175",
        module="metaray.algorithms.protonet",
        class_name="ProtoNet",
    ),
    "baseline": Method(
        summary="ordinary training on all classes, then a new linear head for each task",
        paper="Chen, Liu, Kira, Wang & Huang, ICLR 2019, arXiv 1904.04232",
        module="metaray.algorithms.baseline",
        class_name="Baseline",
    ),
    "baselinepp": Method(
        summary="ordinary training on all classes, then a new head of cosine similarities",
        paper="Chen, Liu, Kira, Wang & Huang, ICLR 2019, arXiv 1904.04232",
        module="metaray.algorithms.baseline",
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


def config_classes() -> dict[str, type[configs.MethodSection]]:
    """The config class of each method, by name."""
    union = get_args(configs.MethodConfig)[0]
    return {cls.model_fields["name"].default: cls for cls in get_args(union)}
