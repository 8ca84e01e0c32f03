"""What can be set about the objectives of transfer jobs. No torch: ``--help`` reads this."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from metaray.algorithms.errors import InputError
from metaray.algorithms.transfer.job_section import JobSection


class DANNConfig(JobSection):
    """Domain adaptation: labelled source, unlabelled target (Ganin et al. 2016, and references)."""

    summary: ClassVar[str] = (
        "adapts to a domain without labels: features that do not tell the two apart"
    )
    paper: ClassVar[str] = "Ganin et al., JMLR 17, 2016, arXiv 1505.07818"
    implementation: ClassVar[str] = (
        "metaray.algorithms.transfer.domain_adaptation:domain_adaptation"
    )

    needs_target: ClassVar[bool] = True
    references: ClassVar[tuple[str, ...]] = ("source_only", "target_supervised")

    name: Literal["dann"] = "dann"
    adaptation: Literal["dann", "coral", "mmd", "none"] = "dann"
    """dann: an adversarial domain classifier; coral: equal covariances (Sun & Saenko 2016); mmd:
    equal distributions by several kernels (Long et al. 2015); none: source only"""
    target_classes: Literal["same", "other"] = "same"
    """other: the target has none of the source's classes; its labels are then not read at all, the
    test is on the source, and what the features are worth on the target, episodes tell"""
    weight: float = Field(1.0, gt=0)
    """factor of the adaptation: the lambda that dann reaches, or what multiplies the distance of
    coral and mmd; 1 unless set, 100 for coral"""
    label_hidden: tuple[int, ...] = (100, 100)
    """units of the layers between features and classes; [] for a linear head"""
    domain_hidden: tuple[int, ...] = (100,)
    """dann: units of the layers between features and the logit of the domain"""

    @model_validator(mode="before")
    @classmethod
    def _weight_of_coral(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("adaptation") == "coral":
            return {"weight": 100.0} | values
        return values

    @model_validator(mode="after")
    def _in_effect(self) -> Self:
        if self.adaptation != "dann" and self.domain_hidden != (100,):
            raise InputError(
                f"job.domain_hidden has no effect on adaptation = {self.adaptation}: leave "
                "it out, or set job.adaptation = dann"
            )
        if self.adaptation == "none" and self.weight != 1.0:
            raise InputError(
                "job.weight has no effect without adaptation: leave it out, or set "
                "job.adaptation to dann, coral or mmd"
            )
        units = (*self.label_hidden, *self.domain_hidden)
        if any(n < 1 for n in units):
            raise InputError(
                f"a layer needs a unit or more, got job.label_hidden = "
                f"{list(self.label_hidden)} and job.domain_hidden = "
                f"{list(self.domain_hidden)}: leave the layer out"
            )
        return self


class DistillConfig(JobSection):
    """Distillation of a teacher into a smaller network; the loss is a weighted sum of terms."""

    summary: ClassVar[str] = (
        "trains a small network to agree with a trained one, with or without labels"
    )
    paper: ClassVar[str] = "Hinton, Vinyals & Dean 2015, arXiv 1503.02531; Romero et al., ICLR 2015"
    implementation: ClassVar[str] = "metaray.algorithms.transfer.distill:Distillation"

    references: ClassVar[tuple[str, ...]] = ("alone",)

    name: Literal["distill"] = "distill"
    teacher: str | None = None
    """run directory of the network that is distilled"""
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
        # workers run in folders of their own
        return None if path is None else str(Path(path).expanduser().absolute())

    @model_validator(mode="after")
    def _in_effect(self) -> Self:
        weights = ("soft", "label", "hint", "attention", "similarity")
        if not any(getattr(self, f"{term}_weight") for term in weights):
            raise InputError(
                "distillation without a loss: set one of job."
                + ", job.".join(f"{term}_weight" for term in weights)
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


class SimCLRConfig(JobSection):
    """SimCLR (Chen et al. 2020): two views of an image attract, those of others repel."""

    summary: ClassVar[str] = (
        "learns without labels that two views of an image are alike, others not"
    )
    paper: ClassVar[str] = "Chen, Kornblith, Norouzi & Hinton, ICML 2020, arXiv 2002.05709"
    implementation: ClassVar[str] = "metaray.algorithms.transfer.simclr:SimCLR"

    references: ClassVar[tuple[str, ...]] = ("supervised",)

    name: Literal["simclr"] = "simclr"
    temperature: float = Field(0.5, gt=0)
    """divides the cosines before the softmax (0.5 on CIFAR-10, 0.1 on ImageNet)"""
    projection_dim: int = Field(128, ge=1)
    """outputs of the projection head, in which images are compared"""
    jitter: float = Field(0.5, ge=0, le=1)
    """strength of the colour jitter (0.5 on CIFAR-10, 1 on ImageNet)"""
    smallest_crop: float = Field(0.08, gt=0, le=1)
    """least share of an image that a crop keeps"""


class MoCoConfig(JobSection):
    """MoCo (He et al. 2020; v2: Chen et al. 2020): keys of a slow copy, and a queue of them."""

    summary: ClassVar[str] = "as SimCLR, against a queue of keys of a slow copy of the network"
    paper: ClassVar[str] = (
        "He et al., CVPR 2020, arXiv 1911.05722; Chen et al. 2020, arXiv 2003.04297"
    )
    implementation: ClassVar[str] = "metaray.algorithms.transfer.moco:MoCo"

    references: ClassVar[tuple[str, ...]] = ("supervised",)

    name: Literal["moco"] = "moco"
    version: Literal["v1", "v2"] = "v2"
    """v2 has a projection head of two layers, blur, and another colour jitter and temperature"""
    temperature: float = Field(0.2, gt=0)
    """divides the cosines before the softmax; 0.2 unless set, 0.07 for v1"""
    momentum: float = Field(0.999, ge=0, lt=1)
    """share of the key encoder that stays in a step; short runs need less, such as 0.99"""
    queue_size: int = Field(65_536, ge=1)
    """keys of earlier batches that a query is told from; small data needs less, such as 4096"""
    projection_dim: int = Field(128, ge=1)
    """outputs of the projection head, in which images are compared"""
    smallest_crop: float = Field(0.2, gt=0, le=1)
    """least share of an image that a crop keeps"""

    @model_validator(mode="before")
    @classmethod
    def _as_published(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("version") == "v1":
            return {"temperature": 0.07} | values
        return values
