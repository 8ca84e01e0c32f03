"""The settings of distillation. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from metaray.algorithms.errors import InputError
from metaray.algorithms.paths import absolute
from metaray.algorithms.transfer.job_section import JobSection
from metaray.algorithms.transfer.recipes import FROM_SCRATCH


class DistillConfig(JobSection):
    """Distillation of a teacher into a smaller network; the loss is a weighted sum of terms."""

    title: ClassVar[str] = "Distillation"
    summary: ClassVar[str] = (
        "trains a small network to agree with a trained one, with or without labels"
    )
    paper: ClassVar[str] = "Hinton, Vinyals & Dean 2015, arXiv 1503.02531; Romero et al., ICLR 2015"
    implementation: ClassVar[str] = "metaray.algorithms.transfer.distill:Distillation"
    references: ClassVar[tuple[str, ...]] = ("alone",)
    # of Tian et al., who compare such methods on CIFAR-100
    defaults: ClassVar[Mapping[str, Any]] = FROM_SCRATCH

    name: Literal["distill"] = "distill"
    teacher: str | None = None
    """run directory of the network that is distilled"""
    teacher_classes: tuple[str, ...] | None = None
    """the teacher's name for each class of the data, in the sorted order of the data's classes;
    needed where the two have different names, as cherry and kirsche"""
    augment: bool = False
    """shift images by up to an eighth and, in colour, flip them at random, for both networks"""
    temperature: float = Field(4.0, gt=0)
    """softens both networks' predictions in the term of `soft_weight`"""
    soft_weight: float = Field(0.9, ge=0)
    """weight of the divergence from the teacher's softened predictions (Hinton et al. 2015)"""
    label_weight: float = Field(0.1, ge=0)
    """weight of the cross-entropy with the labels; 0: labels are not read"""
    hint_weight: float = Field(0.0, ge=0)
    """weight of the squared error of the teacher's features, which a linear layer predicts from
    the student's (Romero et al. 2015)"""
    attention_weight: float = Field(0.0, ge=0)
    """weight of the squared error of the attention maps (Zagoruyko & Komodakis 2017; 1000 there);
    both networks must leave a map"""
    similarity_weight: float = Field(0.0, ge=0)
    """weight of the squared error of the similarities between the images of a shard (Tung & Mori
    2019; 3000 there)"""

    @field_validator("teacher")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        return None if path is None else absolute(path)

    @model_validator(mode="after")
    def _in_effect(self) -> Self:
        weights = ("soft", "label", "hint", "attention", "similarity")
        if not any(getattr(self, f"{term}_weight") for term in weights):
            raise InputError(
                "distillation without a loss: set one of job."
                + ", job.".join(f"{term}_weight" for term in weights)
            )
        if self.teacher_classes is not None and not self.soft_weight:
            raise InputError(
                "job.teacher_classes has no effect where job.soft_weight = 0: leave it out"
            )
        if self.temperature != 4.0 and not self.soft_weight:
            raise InputError(
                "job.temperature has no effect where job.soft_weight = 0: leave it out"
            )
        return self

    @property
    def classifies(self) -> bool:
        """Whether the student has an output per class."""
        return bool(self.soft_weight or self.label_weight)
