"""What heads share that predict all queries of an episode together.

Transductive inference: queries have no labels, but where they lie says something about the classes.
That is what these heads use, and only where ``evaluate.batch_norm`` is ``transductive``. With
``inductive``, and in a trained model that is used, each query is predicted by itself, by what the
head comes to without other queries.
"""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor
from typing_extensions import override

from metaray.algorithms.methods.embedding_based import Support
from metaray.algorithms.methods.feature_head import FeatureHead
from metaray.algorithms.parameters import Tensors


class TransductiveHead(FeatureHead):
    """A head over a network; ``fit`` and ``scores`` are its inductive form."""

    @abstractmethod
    def scores_together(self, features: Tensor, one_hot: Tensor, queries: Tensor) -> Tensor:
        """Logits ``[B, ways]`` of all queries of an episode.

        Args:
            features: of the support set, ``[S, F]``.
            one_hot: its labels, ``[S, ways]``.
            queries: their features, ``[B, F]``.
        """

    @override
    def logits(self, support: Support, x: Tensor) -> tuple[Tensor, Tensors]:
        if support.stats is not None:
            return super().logits(support, x)
        embedded, queries, batch_stats = self.embed(support, x)
        return self.scores_together(embedded, support.one_hot, queries), batch_stats
