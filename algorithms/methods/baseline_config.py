"""The settings of Baseline and Baseline++. No torch: ``--help`` reads this."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from metaray.algorithms.methods.method_section import BatchTrained


class _Baseline(BatchTrained):
    eval_inner_steps: int = Field(100, ge=0, le=10_000)
    """mini-batch steps in which the new head is fitted to a support set"""
    eval_inner_batch: int = Field(4, ge=1, le=10_000)
    """examples per mini-batch of the fit"""
    eval_inner_lr: float = Field(0.01, gt=0)
    """step size of the fit"""
    eval_momentum: float = Field(0.9, ge=0, lt=1)
    """momentum of the fit, and its dampening"""
    eval_weight_decay: float = Field(1e-3, ge=0)
    """weight decay of the fit"""


class BaselineConfig(_Baseline):
    """Baseline (Chen et al. 2019): ordinary training, then a new linear head for each task."""

    summary: ClassVar[str] = (
        "ordinary training on all classes, then a new linear head for each task"
    )
    paper: ClassVar[str] = "Chen, Liu, Kira, Wang & Huang, ICLR 2019, arXiv 1904.04232"
    implementation: ClassVar[str] = "metaray.algorithms.methods.baseline:Baseline"

    name: Literal["baseline"] = "baseline"


class BaselinePPConfig(_Baseline):
    """Baseline++ (Chen et al. 2019): as Baseline, with a head of cosine similarities."""

    summary: ClassVar[str] = (
        "ordinary training on all classes, then a new head of cosine similarities"
    )
    paper: ClassVar[str] = "Chen, Liu, Kira, Wang & Huang, ICLR 2019, arXiv 1904.04232"
    implementation: ClassVar[str] = "metaray.algorithms.methods.baseline:BaselinePP"

    name: Literal["baselinepp"] = "baselinepp"
    scale: float = Field(2.0, gt=0)
    """factor of the cosines in training"""
    eval_scale: float = Field(2.0, gt=0)
    """factor of the cosines in validation and test"""
