"""The settings of Siamese networks. No torch: ``--help`` reads this."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from metaray.algorithms.methods.method_section import MethodSection


class SiameseConfig(MethodSection):
    """Siamese networks (Koch et al. 2015): one embedding, trained on pairs or triplets."""

    summary: ClassVar[str] = (
        "nearest support example in an embedding learned from pairs or triplets"
    )
    paper: ClassVar[str] = "Koch, Zemel & Salakhutdinov, ICML deep learning workshop 2015"
    implementation: ClassVar[str] = "metaray.algorithms.methods.siamese:SiameseNetwork"

    fixed_head: ClassVar[bool] = False
    learns_regression: ClassVar[bool] = False
    drops_features: ClassVar[bool] = True

    name: Literal["siamese"] = "siamese"
    loss: Literal["contrastive", "triplet"] = "contrastive"
    """of all pairs of an episode (Hadsell et al. 2006), or all triplets (Schroff et al. 2015)"""
    margin: float = Field(1.0, gt=0, le=4)
    """distance at which a pair of two classes is far enough apart (contrastive), or by which
    squared distances must differ (triplet; published with 0.2); embeddings have length 1"""
