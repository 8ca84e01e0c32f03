"""Any classification network of torchvision, without the layer that names its classes.

The network is torchvision's own, called as a function of its parameters. Differences:

* Batch norm, dropout and stochastic depth are treated as ``module_backbone`` says.
* Images in [0, 1] are normalised by the mean and deviation of ImageNet, which torchvision's
  weights expect; one channel is repeated to three.
* ``googlenet`` and ``inception_v3``, which train with auxiliary heads, are not offered.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

import torch
import torchvision.models
from torch import Tensor, nn
from typing_extensions import override

from metaray.algorithms.configs import NormKind
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.module_backbone import ModuleBackbone, replace, replaced_norms
from metaray.algorithms.models.pretrained import fitted, read_weights
from metaray.algorithms.parameters import Tensors

_CLASSES = 1000  # outputs of the layer that is taken off
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_AUXILIARY_HEADS = {"googlenet", "inception_v3"}


class TorchvisionBackbone(ModuleBackbone):
    """The network ``arch`` over ``[B, 1 or 3, H, W]``.

    Args:
        input_shape: of one image.
        arch: a name in ``torchvision.models``.
        weights: a file with a state dict of ``arch`` (safetensors, or torch's, read without
            executing code), ``download`` for torchvision's own, or None to start at random.
        norm: what stands in place of batch norm.

    Raises:
        InputError: no such network, or one that cannot take such inputs or norms.
    """

    def __init__(
        self, input_shape: tuple[int, ...], arch: str, weights: str | None, norm: NormKind
    ) -> None:
        _check_name(arch)
        if len(input_shape) != 3 or input_shape[0] not in (1, 3):
            raise InputError(
                f"{arch} takes images (1 or 3, H, W), got inputs of shape {input_shape}: use "
                "another model.name"
            )
        self.arch = arch
        self.weights = weights
        super().__init__(self._without_head, input_shape, norm, arch)

    @override
    def init(self, generator: torch.Generator) -> tuple[Tensors, Tensors]:
        """torchvision's initialisation, or the pretrained weights.

        Raises:
            InputError: the weights cannot be read, or are those of another network.
        """
        params, stats = super().init(generator)
        if self.weights is not None:
            found = self._ours(read_weights(self.arch, self.weights))
            start = fitted(params | stats, found, f"the weights {self.weights} for {self.arch}")
            params, stats = ({name: start[name] for name in part} for part in (params, stats))
        return params, stats

    @override
    def _call(
        self, params: Mapping[str, Tensor], x: Tensor, stats: Mapping[str, Tensor] | None
    ) -> tuple[Tensor, Tensors]:
        mean, deviation = (x.new_tensor(v)[:, None, None] for v in (_MEAN, _DEVIATION))
        return super()._call(params, (x - mean) / deviation, stats)  # one channel becomes three

    def _without_head(self) -> nn.Module:
        module: nn.Module = torchvision.models.get_model(self.arch, weights=None)
        self._head = _replace_head(module)
        return module

    def _ours(self, theirs: Tensors) -> Tensors:
        """A state dict of torchvision's under our names, less what the backbone does not have."""
        names = {"weight": "scale", "bias": "shift"}
        if self.norm == "batch":
            names |= {"running_mean": "mean", "running_var": "var"}
        renamed = {
            f"{prefix}.{their}": f"{prefix}.{our}"
            for prefix, _ in replaced_norms(self._module)
            for their, our in names.items()
        }
        statistics = ("num_batches_tracked", "running_mean", "running_var")
        unused = {
            f"{prefix}.{name}" for prefix, _ in replaced_norms(self._module) for name in statistics
        }
        unused |= {f"{self._head}.weight", f"{self._head}.bias"}
        unused |= {name for name, _ in self._module.named_buffers()}
        return {
            renamed.get(name, name): tensor
            for name, tensor in theirs.items()
            if name in renamed or name not in unused
        }


def _check_name(arch: str) -> None:
    known = set(torchvision.models.list_models(module=torchvision.models)) - _AUXILIARY_HEADS
    if arch not in known:
        near = get_close_matches(arch, known, n=3, cutoff=0.5)
        hint = (
            f"did you mean {', '.join(near)}?" if near else f"known are {', '.join(sorted(known))}"
        )
        raise InputError(f"model.arch = {arch!r} is no network that can be used: {hint}")


def _replace_head(module: nn.Module) -> str:
    """Let the last layer that has an output per class hand its input through; its name."""
    heads: list[str] = [
        name
        for name, part in module.named_modules()
        if (isinstance(part, nn.Linear) and part.out_features == _CLASSES)
        or (isinstance(part, nn.Conv2d) and part.out_channels == _CLASSES)
    ]
    replace(module, heads[-1], nn.Identity())
    return heads[-1]
