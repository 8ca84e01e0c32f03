"""The settings of SNAIL. No torch: ``--help`` reads this."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from metaray.algorithms.methods.method_section import MethodSection


class SNAILConfig(MethodSection):
    """SNAIL (Mishra et al. 2018): temporal convolutions and causal attention."""

    summary: ClassVar[str] = "temporal convolutions and attention over the labelled examples"
    paper: ClassVar[str] = "Mishra, Rohaninejad, Chen & Abbeel, ICLR 2018, arXiv 1707.03141"
    implementation: ClassVar[str] = "metaray.algorithms.methods.snail:SNAIL"

    labels_are_inputs: ClassVar[bool] = True

    name: Literal["snail"] = "snail"
    width: int = Field(128, ge=4, le=65_536)
    """channels that each temporal convolution adds; keys and values of attention follow it"""
    sequence_length: int = Field(6, ge=2, le=1_000)
    """steps that the temporal convolutions span: support examples and one query; what is further
    back is reached by attention alone"""
