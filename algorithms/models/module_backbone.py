"""Any ``torch.nn.Module`` as a backbone, called as a function of its parameters.

* Its batch norms are replaced by ``norm.normalise``, so that they obey given statistics, give back
  those seen, and can be differentiated twice under ``vmap``. Other norms stay. A subclass of batch
  norm that has parts, such as the activation in timm's, keeps them. The result is compared with
  the module's own on random inputs.
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
        InputError: the module cannot take such inputs, has no batch norm to replace, or computes
            something else with its batch norms replaced.

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
        module = self._built(seed=0).eval()
        own = dict(module.state_dict())
        x = torch.rand(2, *input_shape, generator=torch.Generator().manual_seed(0))
        result = self._own_result(module, x)
        self._module = self._replaced(module)
        self._names = [name for name, _ in self._module.named_parameters()]
        if norm == "batch":
            self._check_same(own, x, result)
        shape = result.shape[1:]
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
        module = self._replaced(self._built(seed))
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

    def _built(self, seed: int) -> nn.Module:
        """The network, drawn from torch's global generator, whose state is put back."""
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            return self._make()

    def _replaced(self, module: nn.Module) -> nn.Module:
        """``module`` itself, with our norms in the place of batch norm."""
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

    def _own_result(self, module: nn.Module, x: Tensor) -> Tensor:
        """What the module as it was makes of inputs; InputError where it cannot take them."""
        try:
            with torch.no_grad():
                return self._unreplaced(module, x)
        except (RuntimeError, AssertionError) as error:
            raise InputError(
                f"{self.label} cannot take images of shape {tuple(x.shape[1:])} ({error}): change "
                "data.image_size or the model"
            ) from None

    def _check_same(self, own: Tensors, x: Tensor, wanted: Tensor) -> None:
        """Raise InputError unless the norms that were put in compute what the module's own did.

        ``own`` is the state of the module as it was, ``wanted`` what it made of ``x``.
        """
        ours, stats = dict(own), Tensors()
        for name, _ in replaced_norms(self._module):
            for old, new in (("weight", "scale"), ("bias", "shift")):
                if f"{name}.{old}" in own:
                    ours[f"{name}.{new}"] = own[f"{name}.{old}"]
            for old, new in (("running_mean", "mean"), ("running_var", "var")):
                if f"{name}.{old}" in own:
                    stats[f"{name}.{new}"] = own[f"{name}.{old}"]
        with torch.no_grad():
            found, _ = self._call({name: ours[name] for name in self._names}, x, stats)
        if not torch.allclose(found, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max())):
            raise InputError(
                f"{self.label} computes something else when its batch norms are replaced, as "
                "metaray replaces them: use plain torch.nn.BatchNorm layers, or derive from "
                "metaray.algorithms.models.backbone.Backbone"
            )

    def _unreplaced(self, module: nn.Module, x: Tensor) -> Tensor:
        """What the module itself makes of inputs."""
        found: Tensor = module(x)
        return found


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
        for name, part in replaced.named_children():  # what a subclass does after it
            self.add_module(name, part)
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
        out = out if out.shape == shape else out.reshape(shape)
        for part in self.children():
            out = part(out)
        return out


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
