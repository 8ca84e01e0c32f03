"""The settings of MoCo. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from metaray.algorithms.transfer.job_section import JobSection


class MoCoConfig(JobSection):
    """MoCo (He et al. 2020; v2: Chen et al. 2020): keys of a slow copy, and a queue of them."""

    title: ClassVar[str] = "MoCo"
    summary: ClassVar[str] = "as SimCLR, against a queue of keys of a slow copy of the network"
    paper: ClassVar[str] = (
        "He et al., CVPR 2020, arXiv 1911.05722; Chen et al. 2020, arXiv 2003.04297"
    )
    implementation: ClassVar[str] = "metaray.algorithms.transfer.moco:MoCo"
    references: ClassVar[tuple[str, ...]] = ("supervised",)
    # He et al. 2020, batch 256; queue and momentum as in the authors' notebook for CIFAR-10; 200
    # epochs there
    defaults: ClassVar[Mapping[str, Any]] = {
        "train.epochs": 50.0,
        "train.batch_size": 256,
        "train.shard_size": 128,
        "train.lr": 0.03,
        "train.weight_decay": 1e-4,
        "job.queue_size": 4096,
        "job.momentum": 0.99,
        "evaluate.checkpoint": "last",
    }
    uses_labels: ClassVar[bool] = False

    name: Literal["moco"] = "moco"
    version: Literal["v1", "v2"] = "v2"
    """v2 has a projection head of two layers, blur, and another colour jitter and temperature"""
    temperature: float = Field(0.2, gt=0)
    """divides the cosines before the softmax; 0.2 unless set, 0.07 for v1"""
    momentum: float = Field(0.999, ge=0, lt=1)
    """share of the key encoder that stays in a step; short runs need less, such as 0.99"""
    queue_size: int = Field(65_536, ge=1, le=10_000_000)
    """keys of earlier batches that a query is compared with; small data needs less, such as 4096"""
    projection_dim: int = Field(128, ge=1, le=65_536)
    """outputs of the projection head, in which images are compared"""
    smallest_crop: float = Field(0.2, gt=0, le=1)
    """least share of an image that a crop keeps"""

    @model_validator(mode="before")
    @classmethod
    def _as_published(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("version") == "v1":
            return {"temperature": 0.07} | values
        return values
