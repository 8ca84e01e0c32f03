"""The settings of ProtoMAML. No torch: ``--help`` reads this."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from metaray.algorithms.methods.method_section import GradientConfig, SecondOrder


class ProtoMAMLConfig(GradientConfig):
    """ProtoMAML (Triantafillou et al. 2020): MAML from a head of prototypes."""

    summary: ClassVar[str] = "MAML whose head starts from the prototypes of the support set"
    paper: ClassVar[str] = "Triantafillou et al., ICLR 2020, arXiv 1903.03096"
    implementation: ClassVar[str] = "metaray.algorithms.methods.protomaml:ProtoMAML"

    fixed_head: ClassVar[bool] = False
    learns_regression: ClassVar[bool] = False

    name: Literal["protomaml"] = "protomaml"
    inner_steps: int = Field(6, ge=0, le=10_000)
    """inner gradient steps in training"""
    eval_inner_steps: int = Field(11, ge=0, le=10_000)
    """inner gradient steps in validation and test"""
    inner_lr: float = Field(0.311, gt=0)
    """inner step size, for a loss that is the mean over the support set"""
    second_order: SecondOrder | Literal["none"] = "none"
    """none: first order, as published; else how the exact meta-gradient is computed"""
