"""The settings of heads on frozen features. No torch: ``--help`` reads this.

They need no training: by default a run has none, and tests the features as they are. With outer
steps the network below them is meta-trained through the head.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from metaray.algorithms.methods.method_section import MethodSection

Metric = Literal["cosine", "euclidean"]


class HeadConfig(MethodSection):
    """A classifier that is fitted to the features of a support set in closed form, or nearly so."""

    of_frozen_features: ClassVar[bool] = True
    fixed_head: ClassVar[bool] = False
    learns_regression: ClassVar[bool] = False
    drops_features: ClassVar[bool] = True


class ScaledHeadConfig(HeadConfig):
    """A head for which features may have length one."""

    normalise: bool = True
    """features have length one"""


class NearestMeanConfig(HeadConfig):
    """Nearest class mean (Wang et al. 2019, SimpleShot): of frozen features, without training."""

    summary: ClassVar[str] = "nearest class mean of frozen features, by cosine or distance"
    paper: ClassVar[str] = "Wang, Chao, Weinberger & van der Maaten 2019, arXiv 1911.04623"
    implementation: ClassVar[str] = "metaray.algorithms.methods.nearest_mean:NearestMean"

    name: Literal["nearest_mean"] = "nearest_mean"
    metric: Metric = "cosine"
    """cosine: features and means have length one; euclidean: the squared distance"""


class NearestNeighboursConfig(HeadConfig):
    """K nearest neighbours (Cover & Hart 1967): the nearest support examples vote."""

    summary: ClassVar[str] = "the nearest support examples vote, on frozen features"
    paper: ClassVar[str] = "Cover & Hart, IEEE Transactions on Information Theory 13, 1967"
    implementation: ClassVar[str] = (
        "metaray.algorithms.methods.nearest_neighbours:NearestNeighbours"
    )

    name: Literal["knn"] = "knn"
    neighbours: int = Field(5, ge=1, le=10_000)
    """support examples that vote; all of them where there are fewer"""
    metric: Metric = "cosine"
    """cosine: one minus the cosine similarity; euclidean: the distance"""
    weights: Literal["uniform", "distance"] = "distance"
    """uniform: all votes count the same; distance: by the inverse of the distance"""


class LogisticConfig(ScaledHeadConfig):
    """Logistic regression (Tian et al. 2020): on the frozen features of the support set."""

    summary: ClassVar[str] = "logistic regression on the frozen features of the support set"
    paper: ClassVar[str] = "Tian, Wang, Krishnan, Tenenbaum & Isola, ECCV 2020, arXiv 2003.11539"
    implementation: ClassVar[str] = "metaray.algorithms.methods.logistic:LogisticRegression"

    name: Literal["logistic"] = "logistic"
    penalty: float = Field(1.0, gt=0)
    """factor of half the squared weights, beside the sum of the losses: 1 / C of scikit-learn"""
    newton_steps: int = Field(10, ge=1, le=100)
    """steps of Newton's method"""


class RidgeConfig(ScaledHeadConfig):
    """Ridge regression (Bertinetto et al. 2019, R2-D2): of labels on features, in closed form."""

    summary: ClassVar[str] = "ridge regression of the labels on features; penalty and scale learn"
    paper: ClassVar[str] = "Bertinetto, Henriques, Torr & Vedaldi, ICLR 2019, arXiv 1805.08136"
    implementation: ClassVar[str] = "metaray.algorithms.methods.ridge:RidgeRegression"

    name: Literal["ridge"] = "ridge"
    penalty: float = Field(1.0, gt=0)
    """of the squared weights; where it starts, if there is training"""
    scale: float = Field(10.0, gt=0)
    """factor of what was regressed, which makes logits of it; where it starts"""


class LDAConfig(ScaledHeadConfig):
    """Linear discriminant analysis (Fisher 1936) with shrinkage (Ledoit & Wolf 2004)."""

    summary: ClassVar[str] = "linear discriminants with a shrunken covariance, on frozen features"
    paper: ClassVar[str] = "Ledoit & Wolf, Journal of Multivariate Analysis 88, 2004"
    implementation: ClassVar[str] = "metaray.algorithms.methods.lda:LinearDiscriminants"

    name: Literal["lda"] = "lda"
    covariance: Literal["pooled", "class"] = "pooled"
    """what is shrunken: the covariance around the class means of all examples together, or that of
    each class with its own shrinkage, as scikit-learn does, which takes many shots"""


class TransductiveHeadConfig(HeadConfig):
    """A head that predicts all queries of an episode together, where batch norm may do so too."""

    transductive: ClassVar[bool] = True


class PTMAPConfig(TransductiveHeadConfig):
    """PT-MAP (Hu et al. 2021): class centres move to where the queries are."""

    summary: ClassVar[str] = "transductive: optimal transport of queries to centres that move"
    paper: ClassVar[str] = "Hu, Gripon & Pateux, ICANN 2021, arXiv 2006.03806"
    implementation: ClassVar[str] = "metaray.algorithms.methods.pt_map:PowerTransport"

    name: Literal["pt_map"] = "pt_map"
    power: float = Field(0.5, gt=0, le=1)
    """exponent of the power transform; 1 leaves features as they are"""
    sinkhorn_lambda: float = Field(10.0, gt=0, le=1000)
    """factor of the squared distances in the transport; larger ones make assignments harder"""
    steps: int = Field(20, ge=1, le=1000)
    """how often queries are assigned and centres moved"""
    sinkhorn_iterations: int = Field(50, ge=1, le=10_000)
    """of the transport plan in each step; four times as many for the first plan and the last one"""
    step_size: float = Field(0.2, gt=0, le=1)
    """share of the way to the new means that centres move in a step"""


class LaplacianShotConfig(TransductiveHeadConfig):
    """LaplacianShot (Ziko et al. 2020): near queries get labels that agree."""

    summary: ClassVar[str] = "transductive: nearest class mean; near queries get the same labels"
    paper: ClassVar[str] = "Ziko, Dolz, Granger & Ben Ayed, ICML 2020, arXiv 2006.15486"
    implementation: ClassVar[str] = "metaray.algorithms.methods.laplacianshot:LaplacianShot"

    name: Literal["laplacianshot"] = "laplacianshot"
    neighbours: int = Field(3, ge=1, le=1000)
    """nearest other queries whose labels count"""
    penalty: float = Field(0.5, ge=0)
    """how much they count, beside the squared distances to the class means"""
    steps: int = Field(20, ge=1, le=1000)
    """updates of the labels"""
