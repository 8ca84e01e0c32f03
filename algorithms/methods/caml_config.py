"""The settings of CAML. No torch: ``--help`` reads this."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self, override

from metaray.algorithms.errors import InputError
from metaray.algorithms.methods.method_section import MethodSection


class CAMLConfig(MethodSection):
    """CAML (Fifty et al. 2024): a transformer reads each query beside the support set."""

    summary: ClassVar[str] = "a transformer reads each query with the labelled support set"
    paper: ClassVar[str] = "Fifty et al., ICLR 2024, arXiv 2310.10971"
    implementation: ClassVar[str] = "metaray.algorithms.methods.caml:CAML"

    fixed_head: ClassVar[bool] = False
    learns_regression: ClassVar[bool] = False
    labels_are_inputs: ClassVar[bool] = True
    drops_features: ClassVar[bool] = True

    name: Literal["caml"] = "caml"
    layers: int = Field(4, ge=1, le=1_000)
    """layers of the transformer"""
    heads: int = Field(4, ge=1, le=1_000)
    """attention heads of a layer"""
    width: int = Field(256, ge=2, le=65_536)
    """numbers in an element of the sequence: image and label side by side"""
    label_width: int = Field(64, ge=1, le=65_536)
    """how many of them are the label"""
    max_ways: int = Field(50, ge=2, le=65_536)
    """most classes that a task may have; there are as many label vectors"""

    @property
    @override
    def most_ways(self) -> int:
        return self.max_ways

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % self.heads:
            raise InputError(
                f"method.width = {self.width} is no multiple of method.heads = {self.heads}: "
                "attention heads share the width equally"
            )
        if self.label_width >= self.width:
            raise InputError(
                f"method.label_width = {self.label_width} leaves nothing of method.width = "
                f"{self.width} for the image: lower it, or raise method.width"
            )
        if self.max_ways > self.label_width:
            raise InputError(
                f"method.max_ways = {self.max_ways} label vectors need as many numbers, got "
                f"method.label_width = {self.label_width}: raise it"
            )
        return self
