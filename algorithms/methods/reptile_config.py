"""The settings of Reptile. No torch: ``--help`` reads this."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from metaray.algorithms.methods.method_section import MethodSection


class ReptileConfig(MethodSection):
    """Reptile (Nichol et al. 2018): move towards the weights that ordinary training reaches."""

    summary: ClassVar[str] = "moves towards the weights that plain training on each task reaches"
    paper: ClassVar[str] = "Nichol, Achiam & Schulman 2018, arXiv 1803.02999"
    implementation: ClassVar[str] = "metaray.algorithms.methods.reptile:Reptile"

    name: Literal["reptile"] = "reptile"
    inner_lr: float = Field(1e-3, gt=0)
    """inner step size"""
    inner_optimizer: Literal["adam", "sgd"] = "adam"
    """adam has beta1 = 0, and its second moment is carried from task to task"""
    inner_steps: int = Field(5, ge=1, le=10_000)
    """inner mini-batch steps in training"""
    inner_batch: int = Field(10, ge=1, le=10_000)
    """examples per inner mini-batch in training"""
    eval_inner_steps: int = Field(50, ge=0, le=10_000)
    """inner mini-batch steps in validation and test"""
    eval_inner_batch: int = Field(5, ge=1, le=10_000)
    """examples per inner mini-batch in validation and test"""
