"""The settings of SimCLR. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from metaray.algorithms.transfer.job_section import JobSection


class SimCLRConfig(JobSection):
    """SimCLR (Chen et al. 2020): two views of an image attract, those of others repel."""

    title: ClassVar[str] = "SimCLR"
    summary: ClassVar[str] = (
        "learns without labels that two views of an image are alike, others not"
    )
    paper: ClassVar[str] = "Chen, Kornblith, Norouzi & Hinton, ICML 2020, arXiv 2002.05709"
    implementation: ClassVar[str] = "metaray.algorithms.transfer.simclr:SimCLR"
    references: ClassVar[tuple[str, ...]] = ("supervised",)
    # Chen et al. 2020, appendix B.9, at a batch of 256: 1.0 x 256 / 256; 100 to 1,000 epochs there,
    # 10 of them of warm-up
    defaults: ClassVar[Mapping[str, Any]] = {
        "train.epochs": 50.0,
        "train.batch_size": 256,
        "train.shard_size": 128,
        "train.optimizer": "lars",
        "train.lr": 1.0,
        "train.weight_decay": 1e-6,
        "train.warmup": 0.1,
        "evaluate.checkpoint": "last",
    }
    uses_labels: ClassVar[bool] = False

    name: Literal["simclr"] = "simclr"
    temperature: float = Field(0.5, gt=0)
    """divides the cosines before the softmax (0.5 on CIFAR-10, 0.1 on ImageNet)"""
    projection_dim: int = Field(128, ge=1, le=65_536)
    """outputs of the projection head, in which images are compared"""
    jitter: float = Field(0.5, ge=0, le=1)
    """strength of the colour jitter (0.5 on CIFAR-10, 1 on ImageNet)"""
    smallest_crop: float = Field(0.08, gt=0, le=1)
    """least share of an image that a crop keeps"""
