"""The settings of ANIL. No torch: ``--help`` reads this."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from metaray.algorithms.methods.method_section import GradientConfig, SecondOrder


class ANILConfig(GradientConfig):
    """ANIL (Raghu et al. 2020): MAML whose inner loop adapts the head only."""

    summary: ClassVar[str] = "MAML that adapts the head only"
    paper: ClassVar[str] = "Raghu, Raghu, Bengio & Vinyals, ICLR 2020, arXiv 1909.09157"
    implementation: ClassVar[str] = "metaray.algorithms.methods.anil:ANIL"

    name: Literal["anil"] = "anil"
    inner_steps: int = Field(5, ge=0, le=10_000)
    """inner gradient steps in training"""
    eval_inner_steps: int = Field(10, ge=0, le=10_000)
    """inner gradient steps in validation and test"""
    inner_lr: float = Field(0.1, gt=0)
    """inner step size, for a loss that is the mean over the support set"""
    second_order: SecondOrder = "auto"
    """how the exact meta-gradient is computed: unrolled graph, or constant-memory recursion"""
