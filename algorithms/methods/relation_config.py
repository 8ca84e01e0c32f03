"""The settings of relation networks. No torch: ``--help`` reads this."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from metaray.algorithms.methods.method_section import MethodSection


class RelationConfig(MethodSection):
    """Relation networks (Sung et al. 2018): a learned comparison of feature maps."""

    summary: ClassVar[str] = "learns the comparison of feature maps, too"
    paper: ClassVar[str] = (
        "Sung, Yang, Zhang, Xiang, Torr & Hospedales, CVPR 2018, arXiv 1711.06025"
    )
    implementation: ClassVar[str] = "metaray.algorithms.methods.relation:RelationNetwork"

    fixed_head: ClassVar[bool] = False
    learns_regression: ClassVar[bool] = False
    drops_features: ClassVar[bool] = True

    name: Literal["relation"] = "relation"
    hidden_units: int = Field(8, ge=1, le=65_536)
    """units between the relation module's map and its score"""
