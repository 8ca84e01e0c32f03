"""The settings of matching networks. No torch: ``--help`` reads this."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from metaray.algorithms.methods.method_section import MethodSection


class MatchingConfig(MethodSection):
    """Matching networks (Vinyals et al. 2016): attention by cosine over the support set."""

    summary: ClassVar[str] = (
        "attention over the support set by cosine; full-context embeddings optional"
    )
    paper: ClassVar[str] = (
        "Vinyals, Blundell, Lillicrap, Kavukcuoglu & Wierstra, NIPS 2016, arXiv 1606.04080"
    )
    implementation: ClassVar[str] = "metaray.algorithms.methods.matching:MatchingNetwork"

    fixed_head: ClassVar[bool] = False
    learns_regression: ClassVar[bool] = False
    drops_features: ClassVar[bool] = True

    name: Literal["matching"] = "matching"
    temperature: float = Field(1.0, gt=0)
    """divides the cosines before the softmax; 1 is the paper's equation"""
    full_context: bool = False
    """embed each example in the context of the whole support set (two LSTMs)"""
