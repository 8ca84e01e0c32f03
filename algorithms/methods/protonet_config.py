"""The settings of prototypical networks. No torch: ``--help`` reads this."""

from __future__ import annotations

from typing import ClassVar, Literal

from metaray.algorithms.methods.method_section import MethodSection


class ProtoNetConfig(MethodSection):
    """Prototypical networks (Snell et al. 2017): nearest class mean in embedding space."""

    summary: ClassVar[str] = "nearest class mean in a learned embedding; no inner loop"
    paper: ClassVar[str] = "Snell, Swersky & Zemel, NIPS 2017, arXiv 1703.05175"
    implementation: ClassVar[str] = "metaray.algorithms.methods.protonet:ProtoNet"

    fixed_head: ClassVar[bool] = False
    learns_regression: ClassVar[bool] = False
    drops_features: ClassVar[bool] = True

    name: Literal["protonet"] = "protonet"
