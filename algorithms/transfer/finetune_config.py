"""The settings of fine-tuning. No torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from metaray.algorithms.errors import InputError
from metaray.algorithms.transfer.job_section import JobSection


class FinetuneConfig(JobSection):
    """Fine-tuning: train a network on labelled images from where another training left it."""

    title: ClassVar[str] = "Fine-tuning"
    summary: ClassVar[str] = (
        "trains on labelled images from where another training left the network"
    )
    paper: ClassVar[str] = (
        "Howard & Ruder, ACL 2018, arXiv 1801.06146; Li et al., ICML 2018, arXiv 1802.01483"
    )
    implementation: ClassVar[str] = "metaray.algorithms.transfer.finetune:FineTuning"
    references: ClassVar[tuple[str, ...]] = ("scratch", "head", "target_supervised")

    name: Literal["finetune"] = "finetune"
    strategy: Literal["full", "head", "last_blocks", "discriminative", "gradual"] = "full"
    """full: all layers alike; head: a linear classifier on the frozen network (linear probe);
    last_blocks: the last k layer groups and the head; discriminative: learning rates fall from
    the head to the input (Howard & Ruder 2018); gradual: layer groups are unfrozen one after
    another from the head (the same)"""
    last_blocks: int = Field(1, ge=1)
    """last_blocks: how many layer groups below the head are trained"""
    rate_factor: float = Field(2.6, gt=1)
    """discriminative: each layer group learns at the rate of the next one divided by this"""
    unfreeze_share: float = Field(0.5, gt=0, le=1)
    """gradual: share of the training after which all layer groups are trained"""
    l2_sp: float = Field(0.0, ge=0)
    """pull towards the start (L2-SP, Li et al. 2018): this / 2 times the squared distance of the
    backbone's weights from where they started; takes the place of their weight decay"""
    dropout: float = Field(0.0, ge=0, lt=1)
    """share of the features that are dropped before the head in training"""
    augment: bool = False
    """shift images by up to an eighth and, in colour, flip them at random"""

    @model_validator(mode="after")
    def _in_effect(self) -> Self:
        for key, strategy in (
            ("last_blocks", "last_blocks"),
            ("rate_factor", "discriminative"),
            ("unfreeze_share", "gradual"),
        ):
            default = FinetuneConfig.model_fields[key].default
            if getattr(self, key) != default and self.strategy != strategy:
                raise InputError(
                    f"job.{key} has no effect on the strategy {self.strategy}: leave it out, or "
                    f"set job.strategy = {strategy}"
                )
        if self.l2_sp and self.strategy == "head":
            raise InputError(
                "job.l2_sp has no effect on job.strategy = head, which leaves the backbone where "
                "it started: leave it out"
            )
        return self
