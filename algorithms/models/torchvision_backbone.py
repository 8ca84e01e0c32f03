"""Any classification network of torchvision, without the layer that names its classes.

See ``pretrained_backbone``. Images are normalised by the mean and deviation of ImageNet, which
torchvision's weights expect. ``googlenet`` and ``inception_v3``, which train with auxiliary heads,
are not offered.
"""

from __future__ import annotations

from difflib import get_close_matches

import torchvision.models
from torch import nn
from typing_extensions import override

from metaray.algorithms.configs import NormKind
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.module_backbone import replace
from metaray.algorithms.models.pretrained_backbone import PretrainedBackbone

_CLASSES = 1000  # outputs of the layer that is taken off
_AUXILIARY_HEADS = {"googlenet", "inception_v3"}


class TorchvisionBackbone(PretrainedBackbone):
    """A name in ``torchvision.models``; InputError as of the base, or there is no such network."""

    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def __init__(
        self, input_shape: tuple[int, ...], arch: str, weights: str | None, norm: NormKind
    ) -> None:
        known = set(torchvision.models.list_models(module=torchvision.models)) - _AUXILIARY_HEADS
        if arch not in known:
            near = get_close_matches(arch, known, n=3, cutoff=0.5)
            all_of_them = f"known are {', '.join(sorted(known))}"
            hint = f"did you mean {', '.join(near)}?" if near else all_of_them
            raise InputError(f"model.arch = {arch!r} is no network that can be used: {hint}")
        super().__init__(input_shape, arch, weights, norm)

    @override
    def _whole(self) -> nn.Module:
        module: nn.Module = torchvision.models.get_model(self.arch, weights=None)
        return module

    @override
    def _take_off_head(self, module: nn.Module) -> None:
        """Of the last layer that has an output per class."""
        heads: list[str] = [
            name
            for name, part in module.named_modules()
            if (isinstance(part, nn.Linear) and part.out_features == _CLASSES)
            or (isinstance(part, nn.Conv2d) and part.out_channels == _CLASSES)
        ]
        replace(module, heads[-1], nn.Identity())
