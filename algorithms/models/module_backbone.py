"""Any ``torch.nn.Module`` as a backbone, called as a function of its parameters.

* Its batch norms are replaced by ``norm.normalise``, so that they obey given statistics, give back
  those seen, and can be differentiated twice under ``vmap``. Other norms stay.
* Dropout is off, in training too: its masks would come from a global state.
* Other buffers are constants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from typing_extensions import override

from metaray.algorithms.configs import NormKind
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.norm import init_norm, normalise
from metaray.algorithms.parameters import Tensors


class ModuleBackbone(Backbone):
    """A module over inputs ``[B, *input_shape]``; what it returns, flattened, are the features.

    Args:
        build: makes the module; random weights come from torch's global generator, which is seeded
            for the call and put back after it.
        input_shape: of one input.
        norm: what stands in place of batch norm.
        label: name of the network in messages.

    Raises:
        InputError: the module cannot take such inputs, or has no batch norm to replace.

    >>> layers = lambda: nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    >>> backbone = ModuleBackbone(layers, (1, 28, 28))
    >>> backbone.feature_dim, backbone.map_shape
    (5408, (8, 26, 26))
    >>> params, stats = backbone.init(torch.Generator().manual_seed(0))
    >>> features, seen = backbone.apply(params, torch.zeros(2, 1, 28, 28), None)
    >>> features.shape, sorted(seen)
    (torch.Size([2, 5408]), ['1.mean', '1.var'])
    """

    def __init__(
        self,
        build: Callable[[], nn.Module],
        input_shape: tuple[int, ...],
        norm: NormKind = "batch",
        label: str = "the module",
    ) -> None:
        self._make = build
        self.norm = norm
        self.label = label
        self._frame = _Frame()
        self._lock = Lock()
        self._module = self._build(seed=0)
        self._names = [name for name, _ in self._module.named_parameters()]
        shape = self._probe(input_shape)
        self._map = (*shape, 1, 1)[:3]
        self.feature_dim = shape.numel()

    @property
    @override
    def map_shape(self) -> tuple[int, int, int]:
        channels, height, width = self._map
        return channels, height, width

    @override
    def init(self, generator: torch.Generator) -> tuple[Tensors, Tensors]:
        seed = int(torch.randint(2**31, (), generator=generator))
        module = self._build(seed)
        params = {name: p.detach().clone() for name, p in module.named_parameters()}
        stats: Tensors = {}
        for prefix, norm in replaced_norms(module):
            stats |= init_norm(prefix, norm.scale.numel(), self.norm)[1]
        return params, stats

    @override
    def apply(
        self,
        params: Mapping[str, Tensor],
        x: Tensor,
        stats: Mapping[str, Tensor] | None,
        key: Tensor | None = None,
    ) -> tuple[Tensor, Tensors]:
        outputs, used = self._call(params, x, stats)
        return outputs.flatten(1), used

    @override
    def layer_of(self, name: str) -> str:
        """A child of the network; of one that is a sequence, its parts."""
        first, _, rest = name.partition(".")
        in_sequence = isinstance(getattr(self._module, first), nn.Sequential)
        return f"{first}.{rest.partition('.')[0]}" if in_sequence else first

    def _call(
        self, params: Mapping[str, Tensor], x: Tensor, stats: Mapping[str, Tensor] | None
    ) -> tuple[Tensor, Tensors]:
        """What the module returns, and the normalisation statistics that were used."""
        constants = {
            name: b.to(x.device, x.dtype) if b.is_floating_point() else b.to(x.device)
            for name, b in self._module.named_buffers()
        }
        own = {name: params[name] for name in self._names}  # a head may lie beside them
        with self._lock:  # the module is shared, and swaps its tensors during a call
            self._frame.stats, self._frame.used = stats, {}
            outputs: Tensor = functional_call(self._module, own | constants, (x,))
            used, self._frame.used = self._frame.used, {}
        return outputs, used

    def _build(self, seed: int) -> nn.Module:
        """The network, drawn from torch's global generator, whose state is put back."""
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            module = self._make()
        replaced = 0
        for name, part in list(module.named_modules()):
            if isinstance(part, _BatchNorm):
                replace(module, name, _Norm(name, part, self.norm, self._frame))
                replaced += 1
            elif isinstance(part, nn.Hardsigmoid):
                replace(module, name, _Hardsigmoid())
            elif hasattr(part, "inplace"):
                part.inplace = False
        if not replaced and self.norm != "batch":
            raise InputError(
                f"{self.label} has no batch norm to replace: leave out model.norm = {self.norm}"
            )
        return module.eval()

    def _probe(self, input_shape: tuple[int, ...]) -> torch.Size:
        """The shape of the features of one input, found by a call."""
        params = {name: p.detach() for name, p in self._module.named_parameters()}
        try:
            with torch.no_grad():
                outputs, _ = self._call(params, torch.zeros(2, *input_shape), None)
        except (RuntimeError, AssertionError) as error:
            raise InputError(
                f"{self.label} cannot take images of shape {input_shape} ({error}): change "
                "data.image_size or the model"
            ) from None
        return outputs.shape[1:]


class _Frame:
    """What the norms of a network read and write during one call."""

    stats: Mapping[str, Tensor] | None = None
    used: Tensors


class _Norm(nn.Module):
    """``normalise`` in the place of a batch norm over ``[B, C]``, ``[B, C, L]`` or images."""

    def __init__(self, prefix: str, replaced: _BatchNorm, kind: NormKind, frame: _Frame) -> None:
        super().__init__()
        # as the network has them: some start with a scale of zero
        if replaced.affine:
            self.scale = nn.Parameter(cast(Tensor, replaced.weight).detach().clone())
            self.shift = nn.Parameter(cast(Tensor, replaced.bias).detach().clone())
        else:
            self.register_buffer("scale", torch.ones(replaced.num_features))
            self.register_buffer("shift", torch.zeros(replaced.num_features))
        self._prefix = prefix
        self._epsilon = replaced.eps
        self._kind: NormKind = kind
        self._frame = frame

    @override
    def forward(self, x: Tensor) -> Tensor:
        params = {f"{self._prefix}.scale": self.scale, f"{self._prefix}.shift": self.shift}
        frame = self._frame
        shape = x.shape
        x = x if x.ndim == 4 else x.reshape(shape[0], shape[1], 1, -1)
        out, used = normalise(self._kind, params, self._prefix, x, frame.stats, self._epsilon)
        frame.used |= used
        return out if out.shape == shape else out.reshape(shape)


class _Hardsigmoid(nn.Module):
    """torch's own has no second derivative in forward mode, which the recursion takes."""

    @override
    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x + 3) / 6


def replace(module: nn.Module, name: str, part: nn.Module) -> None:
    """Put ``part`` where the part ``name`` of ``module`` is."""
    parent, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(parent), leaf, part)


def replaced_norms(module: nn.Module) -> Iterator[tuple[str, _Norm]]:
    """The norms that stand where the module had batch norm, by name."""
    for name, part in module.named_modules():
        if isinstance(part, _Norm):
            yield name, part
