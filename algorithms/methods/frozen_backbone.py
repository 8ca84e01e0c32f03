"""What methods share whose adaptation leaves the backbone alone: queries are embedded once."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.algorithm import Algorithm, State
from metaray.algorithms.configs import BatchNormMode
from metaray.algorithms.episode import Episode


class FrozenBackbone(Algorithm):
    """What is adapted has the backbone's ``params`` and ``stats``, the same after each step."""

    @abstractmethod
    def head_outputs(self, adapted: Any, features: Tensor) -> Tensor:
        """Outputs ``[B, num_outputs]`` of the adapted head for features ``[B, F]``."""

    @override
    def predict(self, adapted: Any, x: Tensor) -> Tensor:
        return self.head_outputs(adapted, self._features(adapted, x))

    @override
    def predict_by_step(
        self, state: State, episode: Episode, ways: int, batch_norm: BatchNormMode
    ) -> Tensor:
        adapted = self.adapt(state, episode.support_x, episode.support_y, ways, batch_norm)
        features = self._features(adapted[0], episode.query_x)
        return torch.stack([self.head_outputs(one, features) for one in adapted])

    def _features(self, adapted: Any, x: Tensor) -> Tensor:
        features, _ = self.backbone.apply(adapted.params, x, adapted.stats)
        return features
