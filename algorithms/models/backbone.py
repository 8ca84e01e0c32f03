"""What a method needs of a network: a pure function from inputs to features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metaray.algorithms.errors import InputError
from metaray.algorithms.models.norm import is_norm
from metaray.algorithms.parameters import Tensors

if TYPE_CHECKING:
    from metaray.algorithms.rules.layer import Layer


class Backbone(ABC):
    """Maps inputs ``[B, *input_shape]`` to features ``[B, feature_dim]``.

    A plain ``torch.nn.Module`` works too (``module_backbone.py``). Derive from this class where a
    network is easier to write as a function of its parameters.

    Example: a linear layer.

        >>> class Linear(Backbone):
        ...     def __init__(self, inputs, features):
        ...         self.inputs, self.feature_dim = inputs, features
        ...
        ...     def init(self, generator):
        ...         return {"weight": glorot_uniform(generator, self.feature_dim, self.inputs)}, {}
        ...
        ...     def apply(self, params, x, stats, key=None):
        ...         return x @ params["weight"].T, {}
        >>> network = Linear(3, 5)
        >>> params, statistics = network.init(torch.Generator().manual_seed(0))
        >>> network.apply(params, torch.ones(2, 3), None)[0].shape
        torch.Size([2, 5])
    """

    feature_dim: int

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """``(channels, height, width)`` of the map that the features are, flattened."""
        return self.feature_dim, 1, 1

    @abstractmethod
    def init(self, generator: torch.Generator) -> tuple[Tensors, Tensors]:
        """Fresh float32 parameters, and normalisation statistics (empty without batch norm)."""

    @abstractmethod
    def apply(
        self,
        params: Mapping[str, Tensor],
        x: Tensor,
        stats: Mapping[str, Tensor] | None,
        key: Tensor | None = None,
    ) -> tuple[Tensor, Tensors]:
        """Features of ``x``, and the normalisation statistics that were used.

        ``stats`` None normalises by the batch ``x`` itself, and so does each layer of which it has
        none. ``key`` (int64, ``[]``) seeds what the network drops at random in training; None drops
        nothing.
        """

    def layers(self) -> list[Layer] | None:
        """The same function as layers whose derivatives are written out, from input to features.

        None: it has no such layers, and ``torch.func`` differentiates it. See ``algorithms/rules``.
        """
        return None

    def layer_groups(self, names: Iterable[str]) -> list[list[str]]:
        """The parameters ``names`` of ``init`` in groups of layers, from input to output.

        A norm belongs to the layer before it.
        """
        groups: dict[str, list[str]] = {}
        for name in names:
            groups.setdefault(self.layer_of(name), []).append(name)
        merged: list[list[str]] = []
        for group in groups.values():
            if merged and all(is_norm(name) for name in group):
                merged[-1] += group
            else:
                merged.append(group)
        return merged

    def layer_of(self, name: str) -> str:
        """What all parameters of a group have in common: by default the first part of the name."""
        return name.partition(".")[0]


def glorot_uniform(generator: torch.Generator, *shape: int) -> Tensor:
    """Uniform weights of Glorot & Bengio 2010 for ``[out, in, ...]``."""
    weight = torch.empty(shape)
    return torch.nn.init.xavier_uniform_(weight, generator=generator)


def he_normal(generator: torch.Generator, *shape: int, slope: float = 0.0) -> Tensor:
    """Normal weights of He et al. 2015 for ``[out, in, ...]``, by fan-out.

    ``slope`` is that of the leaky ReLU which follows.
    """
    weight = torch.empty(shape)
    return torch.nn.init.kaiming_normal_(
        weight, a=slope, mode="fan_out", nonlinearity="leaky_relu", generator=generator
    )


def image_channels(name: str, input_shape: tuple[int, ...], halvings: int) -> int:
    """The channels of images that ``name`` can halve ``halvings`` times.

    Raises:
        InputError: the input is no image, or too small.
    """
    if len(input_shape) != 3:
        raise InputError(
            f"{name} takes images (C, H, W), got inputs of shape {input_shape}: use mlp"
        )
    channels, height, width = input_shape
    least = 2**halvings
    if min(height, width) < least:
        raise InputError(
            f"{name} halves an image {halvings} times and needs {least} x {least} pixels, got "
            f"{height} x {width}: raise data.image_size or use conv4_strided"
        )
    return channels
