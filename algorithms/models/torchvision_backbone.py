"""Any classification network of torchvision, without the layer that names its classes.

The network is torchvision's own, called as a function of its parameters. Differences:

* Its batch norms are replaced by ``norm.normalise``, so that they obey given statistics, give back
  those seen, and can be differentiated twice under ``vmap``. Other norms stay.
* Dropout and stochastic depth are off, in training too: their masks would come from a global state.
* Pictures in [0, 1] are normalised by the mean and deviation of ImageNet, which torchvision's
  weights expect; one channel is repeated to three.
* ``googlenet`` and ``inception_v3``, which train with auxiliary heads, are not offered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from threading import Lock
from typing import cast

import torch
import torch.nn.functional as F
import torchvision.models
from torch import Tensor, nn
from torch.func import functional_call

from metaray.algorithms.configs import NormKind
from metaray.algorithms.errors import InputError
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.norm import init_norm, normalise
from metaray.algorithms.models.pretrained import fitted, read_weights
from metaray.algorithms.parameters import Tensors

_CLASSES = 1000  # outputs of the layer that is taken off
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_AUXILIARY_HEADS = {"googlenet", "inception_v3"}


class TorchvisionBackbone(Backbone):
    """The network ``arch`` over ``[B, 1 or 3, H, W]``.

    Args:
        input_shape: of one picture.
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
                f"{arch} takes pictures (1 or 3, H, W), got inputs of shape {input_shape}: use "
                "another model.name"
            )
        self.arch = arch
        self.weights = weights
        self.norm = norm
        self._frame = _Frame()
        self._lock = Lock()
        self._module = self._build(seed=0)
        self.feature_dim = self._probe(input_shape)

    def init(self, generator: torch.Generator) -> tuple[Tensors, Tensors]:
        """torchvision's initialisation, or the pretrained weights.

        Raises:
            InputError: the weights cannot be read, or are those of another network.
        """
        seed = int(torch.randint(2**31, (), generator=generator))
        module = self._build(seed)
        params = {name: p.detach().clone() for name, p in module.named_parameters()}
        stats: Tensors = {}
        for prefix, norm in _norms(module):
            stats |= init_norm(prefix, norm.scale.numel(), self.norm)[1]
        if self.weights is not None:
            found = self._ours(read_weights(self.arch, self.weights))
            start = fitted(params | stats, found, f"the weights {self.weights} for {self.arch}")
            params, stats = ({name: start[name] for name in part} for part in (params, stats))
        return params, stats

    def apply(
        self,
        params: Mapping[str, Tensor],
        x: Tensor,
        stats: Mapping[str, Tensor] | None,
        key: Tensor | None = None,
    ) -> tuple[Tensor, Tensors]:
        """``[B, 1 or 3, H, W]`` in [0, 1] to ``[B, feature_dim]``."""
        mean, deviation = (x.new_tensor(v)[:, None, None] for v in (_MEAN, _DEVIATION))
        x = (x - mean) / deviation  # one channel becomes three
        constants = {
            name: b.to(x.device, x.dtype) if b.is_floating_point() else b.to(x.device)
            for name, b in self._module.named_buffers()
        }
        own = {name: params[name] for name in self._names}  # a head may lie beside them
        with self._lock:  # the module is shared, and swaps its tensors during a call
            self._frame.stats, self._frame.used = stats, {}
            features = functional_call(self._module, own | constants, (x,))
            used, self._frame.used = self._frame.used, {}
        return features, used

    def layer_of(self, name: str) -> str:
        """A child of the network; of one that is a sequence, its parts."""
        first, _, rest = name.partition(".")
        in_sequence = isinstance(getattr(self._module, first), nn.Sequential)
        return f"{first}.{rest.partition('.')[0]}" if in_sequence else first

    def _build(self, seed: int) -> nn.Module:
        """The network, drawn from torch's global generator, whose state is put back."""
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            module: nn.Module = torchvision.models.get_model(self.arch, weights=None)
        self._head = _replace_head(module)
        replaced = 0
        for name, part in list(module.named_modules()):
            if isinstance(part, nn.BatchNorm2d):
                norm = _Norm(name, part, self.norm, self._frame)
                _set(module, name, norm)
                replaced += 1
            elif isinstance(part, nn.Hardsigmoid):
                _set(module, name, _Hardsigmoid())
            elif hasattr(part, "inplace"):
                part.inplace = False
        if not replaced and self.norm != "batch":
            raise InputError(
                f"{self.arch} has no batch norm to replace: leave out model.norm = {self.norm}"
            )
        return module.eval()

    def _ours(self, theirs: Tensors) -> Tensors:
        """A state dict of torchvision's under our names, less what the backbone does not have."""
        names = {"weight": "scale", "bias": "shift"}
        if self.norm == "batch":
            names |= {"running_mean": "mean", "running_var": "var"}
        renamed = {
            f"{prefix}.{their}": f"{prefix}.{our}"
            for prefix, _ in _norms(self._module)
            for their, our in names.items()
        }
        statistics = ("num_batches_tracked", "running_mean", "running_var")
        unused = {f"{prefix}.{name}" for prefix, _ in _norms(self._module) for name in statistics}
        unused |= {f"{self._head}.weight", f"{self._head}.bias"}
        unused |= {name for name, _ in self._module.named_buffers()}
        return {
            renamed.get(name, name): tensor
            for name, tensor in theirs.items()
            if name in renamed or name not in unused
        }

    def _probe(self, input_shape: tuple[int, ...]) -> int:
        """The number of features, found by a call."""
        self._names = [name for name, _ in self._module.named_parameters()]
        params = {name: p.detach() for name, p in self._module.named_parameters()}
        try:
            with torch.no_grad():
                features, _ = self.apply(params, torch.zeros(2, *input_shape), None)
        except (RuntimeError, AssertionError) as error:
            raise InputError(
                f"{self.arch} cannot take pictures of shape {input_shape} ({error}): change "
                "data.image_size or model.arch"
            ) from None
        return int(features.shape[1])


class _Frame:
    """What the norms of a network read and write during one call."""

    stats: Mapping[str, Tensor] | None = None
    used: Tensors


class _Norm(nn.Module):
    """``normalise`` in the place of a BatchNorm2d."""

    def __init__(
        self, prefix: str, replaced: nn.BatchNorm2d, kind: NormKind, frame: _Frame
    ) -> None:
        super().__init__()
        # as torchvision left them: some networks start with a scale of zero
        self.scale = nn.Parameter(cast(Tensor, replaced.weight).detach().clone())
        self.shift = nn.Parameter(cast(Tensor, replaced.bias).detach().clone())
        self._prefix = prefix
        self._epsilon = replaced.eps
        self._kind: NormKind = kind
        self._frame = frame

    def forward(self, x: Tensor) -> Tensor:
        params = {f"{self._prefix}.scale": self.scale, f"{self._prefix}.shift": self.shift}
        frame = self._frame
        out, used = normalise(self._kind, params, self._prefix, x, frame.stats, self._epsilon)
        frame.used |= used
        return out


class _Hardsigmoid(nn.Module):
    """torch's own has no second derivative in forward mode, which the recursion takes."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x + 3) / 6


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
    _set(module, heads[-1], nn.Identity())
    return heads[-1]


def _set(module: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(parent), leaf, part)


def _norms(module: nn.Module) -> Iterator[tuple[str, _Norm]]:
    for name, part in module.named_modules():
        if isinstance(part, _Norm):
            yield name, part
