"""What heads on frozen features share: they are fitted once for each support set.

Trained through, as any method whose embedding is compared, the network below learns features that
suit the head.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor
from typing_extensions import override

from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.embedding_based import EmbeddingBased, Support, unit_length
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.parameters import Tensors


class Fitted(NamedTuple):
    """A head that is fitted, in the place of its support set."""

    params: Tensors
    stats: Tensors | None
    """statistics to normalise by"""
    head: Any


class FeatureHead(EmbeddingBased):
    """A head over a network."""

    @abstractmethod
    def fit(self, params: Mapping[str, Tensor], features: Tensor, one_hot: Tensor) -> Any:
        """The head of a task: tensors in a named tuple.

        Args:
            params: those of network and method.
            features: of the support set, ``[S, F]``.
            one_hot: its labels, ``[S, ways]``.
        """

    @abstractmethod
    def scores(self, params: Mapping[str, Tensor], head: Any, features: Tensor) -> Tensor:
        """Logits ``[B, ways]`` of features ``[B, F]``."""

    @override
    def logits(self, support: Support, x: Tensor) -> tuple[Tensor, Tensors]:
        embedded, queries, batch_stats = self.embed(support, x)
        head = self.fit(support.params, embedded, support.one_hot)
        return self.scores(support.params, head, queries), batch_stats

    @override
    def predict(self, adapted: Any, x: Tensor) -> Tensor:
        if isinstance(adapted, Fitted):
            return self.scores(adapted.params, adapted.head, self.features(adapted, x))
        return super().predict(adapted, x)

    @override
    def precomputed(self, adapted: Support) -> Any:
        """With the head in place of the support set, unless queries decide on its features."""
        found = super().precomputed(adapted)
        if found.embedded is None:
            return found
        head = self.fit(found.params, found.embedded, found.one_hot)
        return Fitted(found.params, found.stats, head)


class ScaledHead(FeatureHead):
    """A head for which features may have length one.

    Args:
        normalise: whether they do.
    """

    def __init__(self, backbone: Backbone, kind: Kind, num_outputs: int, normalise: bool) -> None:
        super().__init__(backbone, kind, num_outputs)
        self._normalise = normalise

    def placed(self, features: Tensor) -> Tensor:
        """Features ``[B, F]`` as the head takes them."""
        return unit_length(features) if self._normalise else features
