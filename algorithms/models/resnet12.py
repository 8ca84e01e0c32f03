"""ResNet-12, the residual network of the few-shot literature.

Oreshkin et al., "TADAM", NeurIPS 2018 (arXiv 1805.10123), in the form of Lee et al., "Meta-Learning
with Differentiable Convex Optimization", CVPR 2019 (arXiv 1904.03758): four blocks of three 3x3
convolutions with norm and leaky ReLU (0.1), a 1x1 shortcut with norm, then 2x2 max pooling. Widths
64-160-320-640, 12.4 million parameters on images of three channels; He initialisation.

Optionally DropBlock (Ghiasi et al., NeurIPS 2018, arXiv 1810.12890) behind the last two blocks:
squares of up to 5 x 5 features are set to zero in training, and the rest is scaled up.

Deviations: features are averaged over space, as in most later work (Lee et al. keep the map); the
drop rate is constant from the start, and the first two blocks have no dropout.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.configs import NormKind
from metaray.algorithms.models.backbone import Backbone, he_normal, image_channels
from metaray.algorithms.models.noise import bernoulli
from metaray.algorithms.models.norm import init_norm, normalise
from metaray.algorithms.parameters import Tensors

_WIDTHS = (64, 160, 320, 640)
_LAYERS = 3
_SLOPE = 0.1
_DROP_IN = (2, 3)
_DROP_SIZE = 5


class ResNet12(Backbone):
    """Four residual blocks over ``[B, C, H, W]``; ``width`` 64 is the published network.

    Raises:
        InputError: the input is no image, or is too small to be halved four times.
    """

    def __init__(
        self, input_shape: tuple[int, ...], width: int, norm: NormKind, drop_block: float
    ) -> None:
        self.in_channels = image_channels("resnet12", input_shape, 4)
        self.widths = tuple(max(1, round(w * width / 64)) for w in _WIDTHS)
        self.norm = norm
        self.drop_block = drop_block
        self.feature_dim = self.widths[-1]

    @override
    def init(self, generator: torch.Generator) -> tuple[Tensors, Tensors]:
        """He-normal convolutions."""
        params: Tensors = {}
        stats: Tensors = {}
        channels = self.in_channels
        for block, width in enumerate(self.widths):
            fan_in = channels
            for name, size in (*((f"layer{i}", 3) for i in range(_LAYERS)), ("shortcut", 1)):
                prefix = f"block{block}.{name}"
                inputs = channels if name == "shortcut" else fan_in
                params[f"{prefix}.conv"] = he_normal(
                    generator, width, inputs, size, size, slope=_SLOPE
                )
                norm_params, norm_stats = init_norm(f"{prefix}.norm", width, self.norm)
                params |= norm_params
                stats |= norm_stats
                fan_in = width
            channels = width
        return params, stats

    @override
    def apply(
        self,
        params: Mapping[str, Tensor],
        x: Tensor,
        stats: Mapping[str, Tensor] | None,
        key: Tensor | None = None,
    ) -> tuple[Tensor, Tensors]:
        """``[B, C, H, W]`` to ``[B, feature_dim]``, the mean over space."""
        used: Tensors = {}

        def layer(prefix: str, x: Tensor, padding: int) -> Tensor:
            x = F.conv2d(x, params[f"{prefix}.conv"], padding=padding)
            x, batch_stats = normalise(self.norm, params, f"{prefix}.norm", x, stats)
            used.update(batch_stats)
            return x

        for block in range(len(self.widths)):
            prefix = f"block{block}"
            shortcut = layer(f"{prefix}.shortcut", x, 0)
            for i in range(_LAYERS):
                x = layer(f"{prefix}.layer{i}", x if i == 0 else F.leaky_relu(x, _SLOPE), 1)
            x = F.max_pool2d(F.leaky_relu(x + shortcut, _SLOPE), 2)
            if key is not None and self.drop_block and block in _DROP_IN:
                x = drop_block(x, key, block, self.drop_block)
        return x.mean((2, 3)), used


def drop_block(x: Tensor, key: Tensor, stream: int, rate: float) -> Tensor:
    """Set squares of ``x`` ``[B, C, H, W]`` to zero, about ``rate`` of it, and scale up the rest.

    Args:
        x: features.
        key: int64 ``[]``; the squares are a function of it, of ``stream`` and of the shape.
        stream: tells apart the places of one network.
        rate: share of features to drop, in [0, 1).
    """
    batch, channels, height, width = x.shape
    size = min(_DROP_SIZE, height, width)
    places = (height - size + 1, width - size + 1)  # corners of whole squares
    corner_rate = rate * height * width / (size**2 * places[0] * places[1])
    corners = bernoulli(key, stream, (batch, channels, *places), corner_rate)
    margin = size - 1
    padded = F.pad(corners.to(x.dtype), (margin, margin, margin, margin))
    kept = 1 - F.max_pool2d(padded, size, stride=1)
    return x * kept * (kept.numel() / kept.sum().clamp(min=1))
