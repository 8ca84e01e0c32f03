"""The four-block convolutional network of the few-shot literature, in its published forms.

``pool``: Vinyals et al. 2016, Snell et al. 2017: 3x3 convolution, batch norm, ReLU, 2x2 max
pooling; the features are all that is left of the image (64 for 28 x 28, 1600 for 84 x 84).
``stride``: Finn et al. 2017 on Omniglot: stride 2 in place of pooling, and the mean over space.
``map``: Sung et al. 2018: the last two blocks do not pool, so that a map is left to be compared
(64 x 7 x 7 for 28 x 28).

Deviations: the convolutions have no bias, which the batch norm behind them would take out again;
the norm of Finn et al. has a shift and no scale, ours has both; the first two convolutions of Sung
et al. have no padding, which leaves 5 x 5 of 28 x 28.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.configs import NormKind
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.backbone import Backbone, glorot_uniform
from metaray.algorithms.models.norm import init_norm, normalise
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.rules.convolution import after_stride
from metaray.algorithms.rules.first_block import conv_block
from metaray.algorithms.rules.layer import Layer
from metaray.algorithms.rules.simple import Flatten, SpatialMean

Reduce = Literal["pool", "stride", "map"]

_BLOCKS = tuple(f"block{i}" for i in range(4))
_POOLED: dict[Reduce, tuple[str, ...]] = {"pool": _BLOCKS, "stride": (), "map": _BLOCKS[:2]}


class Conv4(Backbone):
    """Four blocks of ``width`` channels over ``[B, C, H, W]``.

    Raises:
        InputError: the input is no image, or is too small for the pooling.
    """

    def __init__(
        self, input_shape: tuple[int, ...], width: int, reduce: Reduce, norm: NormKind = "batch"
    ) -> None:
        if len(input_shape) != 3:
            raise InputError(
                f"conv4 takes images (C, H, W), got inputs of shape {input_shape}: use mlp"
            )
        self.in_channels, height, width_px = input_shape
        halved = len(_POOLED[reduce])
        least = 2**halved
        if min(height, width_px) < least:
            raise InputError(
                f"this conv4 halves an image {halved} times and needs {least} x {least} pixels, "
                f"got {height} x {width_px}: raise data.image_size or use conv4_strided"
            )
        if norm == "instance" and reduce == "stride" and max(height, width_px) <= 16:
            raise InputError(
                f"conv4_strided makes one pixel of {height} x {width_px}, of which instance norm "
                "leaves nothing: raise data.image_size, or set model.norm to batch or group"
            )
        self.width = width
        self._input_size = (height, width_px)
        self.norm = norm
        self.reduce = reduce
        self._size = (1, 1) if reduce == "stride" else (height // least, width_px // least)
        self.feature_dim = width * prod(self._size)

    @property
    @override
    def map_shape(self) -> tuple[int, int, int]:
        """What pooling leaves of the image."""
        return self.width, *self._size

    @override
    def init(self, generator: torch.Generator) -> tuple[Tensors, Tensors]:
        """Glorot-uniform convolutions, as in the reference code of Finn et al."""
        params: Tensors = {}
        stats: Tensors = {}
        channels = self.in_channels
        for block in _BLOCKS:
            params[f"{block}.conv"] = glorot_uniform(generator, self.width, channels, 3, 3)
            norm_params, norm_stats = init_norm(f"{block}.norm", self.width, self.norm)
            params |= norm_params
            stats |= norm_stats
            channels = self.width
        return params, stats

    @override
    def apply(
        self,
        params: Mapping[str, Tensor],
        x: Tensor,
        stats: Mapping[str, Tensor] | None,
        key: Tensor | None = None,
    ) -> tuple[Tensor, Tensors]:
        """``[B, C, H, W]`` to ``[B, feature_dim]``."""
        used: Tensors = {}
        stride = 2 if self.reduce == "stride" else 1
        for block in _BLOCKS:
            x = F.conv2d(x, params[f"{block}.conv"], stride=stride, padding=1)
            x, batch_stats = normalise(self.norm, params, f"{block}.norm", x, stats)
            used |= batch_stats
            x = F.relu(x)
            if block in _POOLED[self.reduce]:
                x = F.max_pool2d(x, 2)
        return (x.mean((2, 3)) if self.reduce == "stride" else x.flatten(1)), used

    @override
    def layers(self) -> list[Layer]:
        layers: list[Layer] = []
        size, stride = self._input_size, 2 if self.reduce == "stride" else 1
        for block in _BLOCKS:
            names, pool = (f"{block}.conv", f"{block}.norm"), block in _POOLED[self.reduce]
            layers += conv_block(*names, self.norm, size, stride, pool, first=not layers)
            size = after_stride(size, stride)
            size = (size[0] // 2, size[1] // 2) if pool else size
        return [*layers, SpatialMean() if self.reduce == "stride" else Flatten()]
