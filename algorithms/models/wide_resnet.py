"""WRN-28-10, the wide residual network.

Zagoruyko & Komodakis, "Wide Residual Networks", BMVC 2016 (arXiv 1605.07146): a 3x3 convolution of
16 channels, three stages of four blocks of two 3x3 convolutions, with norm and ReLU before each
convolution, stride 2 at the second and third stage, a last norm and ReLU, and the mean over space.
28 layers, widths 160-320-640, 36.5 million parameters with a head of ten classes; He
initialisation.

Deviations: none in the network; its dropout, which is off in the paper's main results, is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.configs import NormKind
from metaray.algorithms.models.backbone import Backbone, he_normal, image_channels
from metaray.algorithms.models.norm import init_norm, normalise
from metaray.algorithms.parameters import Tensors

_STEM = 16
_WIDTHS = (160, 320, 640)
_BLOCKS = 4  # in a stage: (28 - 4) / 6


class _Block(NamedTuple):
    name: str
    inputs: int
    width: int
    stride: int


class WideResNet(Backbone):
    """Depth 28 over ``[B, C, H, W]``; ``width`` 64 is the published widening by 10.

    Raises:
        InputError: the input is no image, or is too small to be halved twice.
    """

    def __init__(self, input_shape: tuple[int, ...], width: int, norm: NormKind) -> None:
        self.in_channels = image_channels("wrn28_10", input_shape, 2)
        self.widths = tuple(max(1, round(w * width / 64)) for w in _WIDTHS)
        self.norm = norm
        self.feature_dim = self.widths[-1]

    @override
    def init(self, generator: torch.Generator) -> tuple[Tensors, Tensors]:
        """He-normal convolutions."""
        params = {"stem.conv": he_normal(generator, _STEM, self.in_channels, 3, 3)}
        stats: Tensors = {}

        def add_norm(prefix: str, channels: int) -> None:
            norm_params, norm_stats = init_norm(prefix, channels, self.norm)
            params.update(norm_params)
            stats.update(norm_stats)

        for name, inputs, width, _ in self._blocks():
            add_norm(f"{name}.norm0", inputs)
            params[f"{name}.conv0"] = he_normal(generator, width, inputs, 3, 3)
            add_norm(f"{name}.norm1", width)
            params[f"{name}.conv1"] = he_normal(generator, width, width, 3, 3)
            if inputs != width:
                params[f"{name}.shortcut"] = he_normal(generator, width, inputs, 1, 1)
        add_norm("last.norm", self.feature_dim)
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

        def norm_relu(prefix: str, x: Tensor) -> Tensor:
            x, batch_stats = normalise(self.norm, params, prefix, x, stats)
            used.update(batch_stats)
            return F.relu(x)

        x = F.conv2d(x, params["stem.conv"], padding=1)
        for name, inputs, width, stride in self._blocks():
            active = norm_relu(f"{name}.norm0", x)
            if inputs != width:  # a block that changes the width takes its shortcut from here
                x = F.conv2d(active, params[f"{name}.shortcut"], stride=stride)
            out = F.conv2d(active, params[f"{name}.conv0"], stride=stride, padding=1)
            out = norm_relu(f"{name}.norm1", out)
            x = x + F.conv2d(out, params[f"{name}.conv1"], padding=1)
        return norm_relu("last.norm", x).mean((2, 3)), used

    def _blocks(self) -> Iterator[_Block]:
        inputs = _STEM
        for stage, width in enumerate(self.widths):
            for block in range(_BLOCKS):
                stride = 2 if stage > 0 and block == 0 else 1
                yield _Block(f"stage{stage}.block{block}", inputs, width, stride)
                inputs = width
