"""The settings of Meta-SGD. No torch: ``--help`` reads this."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from metaray.algorithms.configs import BatchNormMode
from metaray.algorithms.methods.method_section import MethodSection, SecondOrder


class MetaSGDConfig(MethodSection):
    """Meta-SGD (Li et al. 2017): MAML with a meta-learned step size of each parameter."""

    summary: ClassVar[str] = "MAML with a learned step size of each parameter; one inner step"
    paper: ClassVar[str] = "Li, Zhou, Chen & Li 2017, arXiv 1707.09835"
    implementation: ClassVar[str] = "metaray.algorithms.methods.metasgd:MetaSGD"

    name: Literal["metasgd"] = "metasgd"
    inner_steps: int = Field(1, ge=0, le=10_000)
    """inner gradient steps in training"""
    eval_inner_steps: int = Field(1, ge=0, le=10_000)
    """inner gradient steps in validation and test"""
    inner_lr_low: float = 0.005
    """step sizes start uniform between this"""
    inner_lr_high: float = 0.1
    """and this"""
    train_batch_norm: BatchNormMode = "transductive"
    """statistics for the query set in training: its own, or those of the support set"""
    second_order: SecondOrder = "auto"
    """how the exact meta-gradient is computed: unrolled graph, or constant-memory recursion"""

    @model_validator(mode="after")
    def _low_below_high(self) -> Self:
        if self.inner_lr_low > self.inner_lr_high:
            raise ValueError(
                f"method.inner_lr_low = {self.inner_lr_low} is above method.inner_lr_high = "
                f"{self.inner_lr_high}: step sizes start between the two"
            )
        return self
