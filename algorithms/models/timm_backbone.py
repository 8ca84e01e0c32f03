"""Any network of timm as a frozen encoder: without its classifier, in the mode of evaluation.

Batch norm takes the statistics of the training, dropout is off. Images in [0, 1] are normalised by
the mean and deviation that timm has for the network; one channel is repeated to three. timm is
imported here alone, and nothing else needs it.

A state dict has timm's own names, or other names for tensors of the same shapes in the same order,
as the ports of a network to another package have.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from typing_extensions import override

from metaray.algorithms.errors import InputError
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.pretrained import fitted, read_weights
from metaray.algorithms.parameters import Tensors

_COUNTS = "num_batches_tracked"


class TimmBackbone(Backbone):
    """The network ``arch`` over ``[B, 1 or 3, H, W]``.

    Args:
        input_shape: of one image.
        arch: a name in ``timm.list_models()``.
        weights: a file with a state dict; None where tensors are given to ``apply`` from elsewhere.

    Raises:
        InputError: timm is not installed, has no such network, or it cannot take such images.
    """

    def __init__(self, input_shape: tuple[int, ...], arch: str, weights: str | None = None) -> None:
        self.arch, self.weights = arch, weights
        self._module = _made(arch)
        data = self._module.pretrained_cfg
        self.mean, self.deviation = tuple(data["mean"]), tuple(data["std"])  # type: ignore[index]
        self._module.reset_classifier(0)  # type: ignore[operator]
        self._module.eval()
        params, buffers = _tensors(self._module)
        try:
            with torch.no_grad():
                features, _ = self.apply(params, torch.zeros(1, *input_shape), buffers)
        except RuntimeError as error:
            raise InputError(
                f"{arch} cannot take images of {input_shape} ({str(error).splitlines()[0]}): set "
                f"data.image_size = {timm_image_size(arch)}"
            ) from None
        self.feature_dim = features.shape[1]

    @override
    def init(self, generator: torch.Generator) -> tuple[Tensors, Tensors]:
        """The weights of the file.

        Raises:
            InputError: there is none, or they are those of another network.
        """
        if self.weights is None:
            raise InputError(f"{self.arch} has no weights: give a file with --weights")
        params, buffers = _tensors(self._module)
        found = _by_order(_made(self.arch), read_weights(self.arch, self.weights))
        wanted = params | buffers
        kept = {name: value for name, value in found.items() if name in wanted}
        advice = "name the network that they belong to"
        start = fitted(wanted, kept, f"the weights {self.weights} for {self.arch}", advice)
        return {name: start[name] for name in params}, {name: start[name] for name in buffers}

    @override
    def apply(
        self,
        params: Mapping[str, Tensor],
        x: Tensor,
        stats: Mapping[str, Tensor] | None,
        key: Tensor | None = None,
    ) -> tuple[Tensor, Tensors]:
        mean, deviation = (x.new_tensor(v)[:, None, None] for v in (self.mean, self.deviation))
        tensors = {**params, **(stats or {})}
        features: Tensor = functional_call(self._module, tensors, ((x - mean) / deviation,))
        return features.flatten(1), {}


def timm_image_size(arch: str) -> int:
    """Pixels per side of the images that a network of timm was trained on; InputError as above."""
    config: Any = _made(arch).pretrained_cfg
    return int(config["input_size"][-1])


def _made(arch: str) -> nn.Module:
    """The network with random weights, which leave the global generator as it was."""
    timm = _timm()
    if arch not in timm.list_models():
        near = get_close_matches(arch, timm.list_models(), n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() has the names"
        raise InputError(f"timm has no network {arch!r}: {hint}")
    with torch.random.fork_rng(devices=[]):
        module: nn.Module = timm.create_model(arch, pretrained=False)
    return module


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise InputError("networks of timm need another package: pip install timm") from None
    return timm


def _tensors(module: nn.Module) -> tuple[Tensors, Tensors]:
    """Parameters, and the buffers that are numbers."""
    params = {name: value.detach() for name, value in module.named_parameters()}
    buffers = {n: value for n, value in module.named_buffers() if value.is_floating_point()}
    return params, buffers


def _by_order(module: nn.Module, found: Tensors) -> Tensors:
    """``found`` under the names of ``module`` where all its own are others but fit in order."""
    ours = {n: v for n, v in module.state_dict().items() if not n.endswith(_COUNTS)}
    theirs = {n: v for n, v in found.items() if not n.endswith(_COUNTS)}
    shapes = [value.shape for value in ours.values()]
    if ours.keys() == theirs.keys() or shapes != [value.shape for value in theirs.values()]:
        return theirs
    return dict(zip(ours, theirs.values(), strict=True))
