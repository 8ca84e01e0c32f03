"""Any network of timm, without its classifier.

See ``pretrained_backbone``. Images are normalised by the mean and deviation that timm has for the
network. timm is imported here alone, and nothing else needs it.

A state dict has timm's own names, or other names for tensors of the same shapes in the same order,
as the ports of a network to another package have.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from metaray.algorithms.configs import NormKind
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.pretrained_backbone import PretrainedBackbone
from metaray.algorithms.parameters import Tensors

_COUNTS = "num_batches_tracked"


class TimmBackbone(PretrainedBackbone):
    """A name in ``timm.list_models()``.

    Raises:
        InputError: as of the base; or timm is not installed, or has no such network.
    """

    def __init__(
        self, input_shape: tuple[int, ...], arch: str, weights: str | None, norm: NormKind
    ) -> None:
        if weights == "download":
            raise InputError(f"weights of timm are not downloaded: give a file for {arch}")
        data = _pretrained(arch)
        self.mean, self.deviation = tuple(data["mean"]), tuple(data["std"])
        try:
            super().__init__(input_shape, arch, weights, norm)
        except InputError as error:
            size = int(data["input_size"][-1])
            if input_shape[-2:] == (size, size):
                raise
            raise InputError(f"{error}; {arch} was trained with data.image_size = {size}") from None

    @override
    def _whole(self) -> nn.Module:
        return _made(self.arch)

    @override
    def _take_off_head(self, module: nn.Module) -> None:
        module.reset_classifier(0)  # type: ignore[operator]

    @override
    def _named(self, found: Tensors) -> Tensors:
        theirs = {n: v for n, v in found.items() if not n.endswith(_COUNTS)}
        if self._shapes.keys() == theirs.keys():
            return theirs
        if list(self._shapes.values()) != [value.shape for value in theirs.values()]:
            return theirs  # which lists what is wrong
        return dict(zip(self._shapes, theirs.values(), strict=True))


def timm_image_size(arch: str) -> int:
    """Pixels per side of the images that a network of timm was trained on; InputError as above."""
    return int(_pretrained(arch)["input_size"][-1])


def _pretrained(arch: str) -> dict[str, Any]:
    """What timm knows of the training of a network."""
    timm = _timm()
    if arch not in timm.list_models():
        near = get_close_matches(arch, timm.list_models(), n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() has the names"
        raise InputError(f"timm has no network {arch!r}: {hint}")
    with torch.random.fork_rng(devices=()):
        known: Any = _made(arch).pretrained_cfg
    return dict(known)


def _made(arch: str) -> nn.Module:
    module: nn.Module = _timm().create_model(arch, pretrained=False)
    return module


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise InputError(
            "networks of timm need another package: pip install 'metaray[timm]'"
        ) from None
    return timm
