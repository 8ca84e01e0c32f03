"""The settings of implicit MAML. No torch: ``--help`` reads this."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from metaray.algorithms.methods.method_section import GradientConfig


class ImplicitMAMLConfig(GradientConfig):
    """Implicit MAML (Rajeswaran et al. 2019): the gradient of the inner problem's minimum."""

    summary: ClassVar[str] = "MAML whose gradient is that of the inner minimum, not of the steps"
    paper: ClassVar[str] = "Rajeswaran, Finn, Kakade & Levine, NeurIPS 2019, arXiv 1909.04630"
    implementation: ClassVar[str] = "metaray.algorithms.methods.imaml:ImplicitMAML"

    name: Literal["imaml"] = "imaml"
    inner_steps: int = Field(16, ge=0)
    """inner gradient steps in training; more of them need no more memory"""
    eval_inner_steps: int = Field(16, ge=0)
    """inner gradient steps in validation and test"""
    inner_lr: float = Field(0.1, gt=0)
    """inner step size, for a loss that is the mean over the support set"""
    proximal: float = Field(2.0, gt=0)
    """lambda: how strongly the inner loop is pulled to the initialisation in training"""
    eval_proximal: float = Field(0.0, ge=0)
    """the same in validation and test; the authors' code has none there"""
    cg_steps: int = Field(5, ge=1)
    """steps of conjugate gradients, each a Hessian-vector product, for one meta-gradient"""

    @model_validator(mode="after")
    def _steps_end_somewhere(self) -> ImplicitMAMLConfig:
        strongest = max(self.proximal, self.eval_proximal)
        if self.inner_lr * strongest >= 2:
            raise ValueError(
                f"inner_lr times proximal is {self.inner_lr * strongest:g}: from 2 on, each step "
                "moves farther away; lower one of them"
            )
        return self
