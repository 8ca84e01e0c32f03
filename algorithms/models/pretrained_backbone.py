"""Networks of other packages, less the layer that names their classes, with weights from a file.

The network is the package's own, called as a function of its parameters. Differences:

* Batch norm, dropout and stochastic depth are treated as ``module_backbone`` says.
* Images in [0, 1] are normalised by a mean and a deviation, which the weights expect; one channel
  is repeated to three.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from metaray.algorithms.configs import NormKind
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.module_backbone import ModuleBackbone, replaced_norms
from metaray.algorithms.models.pretrained import fitted, read_weights
from metaray.algorithms.parameters import Tensors

_COUNTS = "num_batches_tracked"


class PretrainedBackbone(ModuleBackbone):
    """The network ``arch`` over ``[B, 1 or 3, H, W]``.

    Args:
        input_shape: of one image.
        arch: its name in the package.
        weights: a file with a state dict of ``arch`` (safetensors, or torch's, read without
            executing code), ``download`` where the package offers that, or None to start at random.
        norm: what stands in place of batch norm.

    Raises:
        InputError: a network that cannot take such inputs or norms.
    """

    mean: Sequence[float]
    """of the images that the weights expect, by channel"""
    deviation: Sequence[float]

    def __init__(
        self, input_shape: tuple[int, ...], arch: str, weights: str | None, norm: NormKind
    ) -> None:
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
        """The package's initialisation, or the pretrained weights.

        Raises:
            InputError: the weights cannot be read, or are those of another network.
        """
        params, stats = super().init(generator)
        if self.weights is not None:
            found = self._ours(self._named(read_weights(self.arch, self.weights)))
            start = fitted(params | stats, found, f"the weights {self.weights} for {self.arch}")
            params, stats = ({name: start[name] for name in part} for part in (params, stats))
        return params, stats

    @abstractmethod
    def _whole(self) -> nn.Module:
        """The package's network with random weights."""

    @abstractmethod
    def _take_off_head(self, module: nn.Module) -> None:
        """Let the layer that names classes hand its input through."""

    def _named(self, found: Tensors) -> Tensors:
        """A state dict under the package's names."""
        return found

    @override
    def _call(
        self, params: Mapping[str, Tensor], x: Tensor, stats: Mapping[str, Tensor] | None
    ) -> tuple[Tensor, Tensors]:
        return super()._call(params, self._normalised(x), stats)

    @override
    def _unreplaced(self, module: nn.Module, x: Tensor) -> Tensor:
        return super()._unreplaced(module, self._normalised(x))

    def _normalised(self, x: Tensor) -> Tensor:
        mean, deviation = (x.new_tensor(v)[:, None, None] for v in (self.mean, self.deviation))
        return (x - mean) / deviation  # one channel becomes three

    def _without_head(self) -> nn.Module:
        module = self._whole()
        state = module.state_dict()
        self._shapes = {n: v.shape for n, v in state.items() if not n.endswith(_COUNTS)}
        self._take_off_head(module)
        self._of_head = state.keys() - module.state_dict().keys()
        return module

    def _ours(self, theirs: Tensors) -> Tensors:
        """A state dict of the package under our names, less what the backbone does not have."""
        names = {"weight": "scale", "bias": "shift"}
        if self.norm == "batch":
            names |= {"running_mean": "mean", "running_var": "var"}
        renamed = {
            f"{prefix}.{their}": f"{prefix}.{our}"
            for prefix, _ in replaced_norms(self._module)
            for their, our in names.items()
        }
        statistics = (_COUNTS, "running_mean", "running_var")
        unused = {
            f"{prefix}.{name}" for prefix, _ in replaced_norms(self._module) for name in statistics
        }
        unused |= self._of_head | {name for name, _ in self._module.named_buffers()}
        return {
            renamed.get(name, name): tensor
            for name, tensor in theirs.items()
            if name in renamed or name not in unused
        }
