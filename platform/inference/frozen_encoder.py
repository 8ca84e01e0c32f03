"""The encoder below a learner that was trained on its features: from pictures to vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from metaray.algorithms.algorithm import State
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.build import build_backbone
from metaray.algorithms.models.registry import MODELS
from metaray.algorithms.parameters import Tensors
from metaray.platform.config.loading import validate_section

_PARAMS, _STATS, _MEAN = "params.", "stats.", "mean"
_BATCH = 64  # pictures that are computed at once


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """All that says what an encoder is, beside its weights. It can be pickled."""

    name: str
    """of a run, or ``torchvision:ARCH`` or ``timm:ARCH``"""
    model: dict[str, Any]
    """its settings"""
    input_shape: tuple[int, ...]
    """of a picture"""
    feature_dim: int
    """numbers in a vector"""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> EncoderSpec:
        """What ``as_json`` wrote."""
        return cls(**{**values, "input_shape": tuple(values["input_shape"])})

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self) | {"input_shape": list(self.input_shape)}

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a vector."""
        return (self.feature_dim,)

    def build(self) -> Backbone:
        """The network, without weights.

        Raises:
            InputError: it is one of timm, which is not installed.
        """
        return build_backbone(validate_section(MODELS, self.model), self.input_shape)


class FrozenEncoder(nn.Module):
    """Features ``[B, F]`` of pictures ``[B, C, H, W]``, by a network that nothing trains.

    Args:
        spec: what network it is.
        tensors: its tensors, as ``encoder_tensors`` names them.
    """

    def __init__(self, spec: EncoderSpec, tensors: Tensors) -> None:
        super().__init__()
        self._network = spec.build()
        self._names = list(tensors)
        for number, tensor in enumerate(tensors.values()):
            self.register_buffer(f"tensor{number}", tensor.detach())

    def tensors(self) -> Tensors:
        """What it was made of."""
        return {name: getattr(self, f"tensor{i}") for i, name in enumerate(self._names)}

    @override
    def forward(self, x: Tensor) -> Tensor:
        tensors = self.tensors()
        params, stats = _part(tensors, _PARAMS), _part(tensors, _STATS)
        features, _ = self._network.apply(params, x, stats)
        mean = tensors.get(_MEAN)
        return features if mean is None else features - mean

    @torch.no_grad()
    def in_batches(self, x: Tensor) -> Tensor:
        """As ``forward``, with the memory of a batch of 64 pictures."""
        return torch.cat([self(batch) for batch in x.split(_BATCH)])


def encoder_tensors(state: State, mean: Tensor | None = None) -> Tensors:
    """The tensors of a network under names of one dictionary.

    ``mean`` ``[F]`` is subtracted from its features.
    """
    tensors = {_PARAMS + name: value for name, value in state.params.items()}
    tensors |= {_STATS + name: value for name, value in state.buffers.items()}
    return tensors if mean is None else {**tensors, _MEAN: mean}


def encoder_state(tensors: Mapping[str, Tensor]) -> State:
    """What ``encoder_tensors`` was given, without the mean."""
    return State(_part(tensors, _PARAMS), _part(tensors, _STATS))


def _part(tensors: Mapping[str, Tensor], head: str) -> Tensors:
    return {n.removeprefix(head): t for n, t in tensors.items() if n.startswith(head)}
