"""The settings of domain adaptation. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self, override

from metaray.algorithms.errors import InputError
from metaray.algorithms.transfer.job_section import JobSection


class DANNConfig(JobSection):
    """Domain adaptation: labelled source, unlabelled target (Ganin et al. 2016, and references)."""

    title: ClassVar[str] = "Domain adaptation"
    summary: ClassVar[str] = (
        "adapts to a domain without labels: features that do not tell the two apart"
    )
    paper: ClassVar[str] = "Ganin et al., JMLR 17, 2016, arXiv 1505.07818"
    implementation: ClassVar[str] = (
        "metaray.algorithms.transfer.domain_adaptation:domain_adaptation"
    )
    needs_target: ClassVar[bool] = True
    references: ClassVar[tuple[str, ...]] = ("source_only", "target_supervised")
    # Ganin et al. 2016; accuracy on the source, which validation sees, is no reason to stop early
    defaults: ClassVar[Mapping[str, Any]] = {
        "train.batch_size": 64,
        "train.shard_size": 64,
        "train.lr": 0.01,
        "train.schedule": "dann",
        "train.weight_decay": 0.0,
        "evaluate.checkpoint": "last",
    }
    # the networks of the paper normalise nothing over a batch, which would tell its domains apart
    network_defaults: ClassVar[Mapping[str, Any]] = {"model.norm": "group"}

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

    @property
    @override
    def shares_classes(self) -> bool:
        return self.target_classes == "same"
