"""Layers in a row, and the losses of the inner and the outer loop on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.configs import BatchNormMode
from metaray.algorithms.episode import Episode
from metaray.algorithms.inner_loop import Objective
from metaray.algorithms.losses import Kind
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.rules.layer import Layer, Params
from metaray.algorithms.rules.losses import residual, residual_tangent, task_metrics

_STEPS_KEPT = 10  # tapes of later inner steps are computed again, so that memory does not grow
_IMAGES_AT_ONCE = 64  # on a CPU, whose cache does not hold the queries of many tasks


class Trace(NamedTuple):
    """What a pass through a network leaves for the next one."""

    params: Params
    tapes: list[Any]
    memories: list[Any]
    """of ``backward``, from the first layer to the last; empty before it"""


class Network:
    """Layers one after the other, from inputs to outputs.

    Args:
        layers: from input to output; no parameter belongs to two of them.
        need_x: whether derivatives with respect to the input are wanted.
    """

    def __init__(self, layers: Sequence[Layer], need_x: bool = False) -> None:
        self.layers = tuple(layers)
        self._need_x = need_x
        self.names = tuple(name for layer in layers for name in layer.names)
        self._owners = {name: layer for layer in layers for name in layer.names}

    def pack(self, params: Tensors, tasks: int) -> Tensors:
        """Parameters that ``tasks`` tasks share, ``[T, ...]`` as the layers have them.

        What is named after a parameter, such as its step sizes, lies as the parameter does.
        """
        packed = {}
        for name, value in params.items():
            first = value[None]
            owner = self._owner(name)
            if owner is not None and value.ndim:
                first = owner.pack(_own(name, owner), first)
            packed[name] = first.expand(tasks, *first.shape[1:])
        return packed

    def unpack(self, params: Tensors) -> Tensors:
        """Parameters ``[T, ...]``, or what is shaped as they are, as the network has them."""
        unpacked = {}
        for name, value in params.items():
            owner = self._owner(name)
            if owner is not None and value.ndim > 1:
                value = owner.unpack(_own(name, owner), value)
            unpacked[name] = value
        return unpacked

    def prepare(self, x: Tensor, rows: int | None = None) -> Any:
        """Inputs ``[T, B, *input_shape]`` as the first layer takes them; ``rows`` as below."""
        return self.layers[0].prepare(x, rows)

    def forward(self, params: Params, x: Any, rows: int | None = None) -> tuple[Tensor, Trace]:
        """Outputs ``[T, B, ...]`` for prepared inputs; norms use the first ``rows`` examples."""
        tapes = []
        for layer in self.layers:
            x, tape = layer.forward(params, x, rows)
            tapes.append(tape)
        return x, Trace(params, tapes, [])

    def statistics(self, trace: Trace) -> Tensors:
        """The normalisation statistics of a pass, ``[T, C]``."""
        return {
            name: value
            for layer, tape in zip(self.layers, trace.tapes, strict=True)
            for name, value in layer.statistics(trace.params, tape).items()
        }

    def backward(self, trace: Trace, gy: Tensor) -> tuple[Tensor | None, Tensors, Trace]:
        """Derivatives of ``<outputs, gy>`` with respect to inputs and parameters, and the trace."""
        gradient: Tensors = {}
        memories: list[Any] = [None] * len(self.layers)
        gx: Tensor | None = gy
        for i in reversed(range(len(self.layers))):
            assert gx is not None
            pulled = self.layers[i].backward(trace.params, trace.tapes[i], gx, self._wanted(i))
            gx, memories[i] = pulled.x, pulled.memory
            gradient |= pulled.params
        return gx, gradient, trace._replace(memories=memories)

    def tangent(
        self, trace: Trace, pd: Params, xd: Tensor | None = None
    ) -> tuple[Tensor | None, list[Any]]:
        """The outputs' derivative along ``pd`` and ``xd``, and what moved in each layer."""
        moved: list[Any] = []
        for layer, tape in zip(self.layers, trace.tapes, strict=True):
            if xd is None and not any(name in pd for name in layer.names):
                moved.append(_STILL)
                continue
            xd, change = layer.tangent(trace.params, tape, pd, xd)
            moved.append(change)
        return xd, moved

    def backward_tangent(
        self, trace: Trace, pd: Params, moved: list[Any], gyd: Tensor
    ) -> tuple[Tensor | None, Tensors]:
        """The derivative of what ``backward`` gave, along ``pd``, what ``moved``, and ``gyd``."""
        gradient: Tensors = {}
        gxd: Tensor | None = gyd
        for i in reversed(range(len(self.layers))):
            assert gxd is not None
            layer, tape, wanted = self.layers[i], trace.tapes[i], self._wanted(i)
            if moved[i] is _STILL:  # backward is linear
                pulled = layer.backward(trace.params, tape, gxd, wanted)
            else:
                memory = trace.memories[i]
                pulled = layer.backward_tangent(
                    trace.params, tape, memory, pd, moved[i], gxd, wanted
                )
            gxd = pulled.x
            gradient |= pulled.params
        return gxd, gradient

    def _wanted(self, layer: int) -> bool:
        return layer > 0 or self._need_x

    def _owner(self, name: str) -> Layer | None:
        exact = self._owners.get(name)
        if exact is not None:
            return exact
        return next((o for own, o in self._owners.items() if name.endswith("." + own)), None)


def network_of(backbone: Backbone) -> Network:
    """The layers with rules of ``backbone``, which has them."""
    layers = backbone.layers()
    assert layers is not None
    return Network(layers)


_STILL = object()  # of a layer that nothing moves


def _own(name: str, owner: Layer) -> str:
    """The parameter of ``owner`` that ``name`` is, or is named after."""
    return next(own for own in owner.names if name == own or name.endswith("." + own))


class LossTape(NamedTuple):
    """One evaluation of a loss."""

    trace: Trace
    outputs: Tensor
    gradient: Tensors


class NetworkLoss(Objective):
    """The mean loss of a network on examples, for T tasks at once.

    Args:
        network: to outputs ``[T, B, N]``.
        kind: which loss.
        x: prepared inputs, or the name of the parameter that holds them.
        y: labels ``[T, B]``, or targets ``[T, B, 1]``.
    """

    def __init__(self, network: Network, kind: Kind, x: Any, y: Tensor) -> None:
        self._network, self._kind, self._x, self._y = network, kind, x, y
        self._kept = 0

    @override
    def gradient(self, at: Tensors, names: Sequence[str]) -> tuple[Tensors, LossTape | None]:
        tape = self._evaluated(at)
        self._kept += 1
        return tape.gradient, tape if self._kept <= _STEPS_KEPT else None

    @override
    def curvature(
        self, at: Tensors, tape: LossTape | None, along: Tensors
    ) -> tuple[Tensors, Tensors]:
        tape = tape or self._evaluated(at)
        moved_outputs, moved = self._network.tangent(tape.trace, along)
        assert moved_outputs is not None
        gyd = residual_tangent(self._kind, tape.outputs, moved_outputs)
        gxd, curved = self._network.backward_tangent(tape.trace, along, moved, gyd)
        if isinstance(self._x, str) and gxd is not None:
            curved[self._x] = gxd
        return tape.gradient, curved

    def _evaluated(self, at: Tensors) -> LossTape:
        x = at[self._x] if isinstance(self._x, str) else self._x
        outputs, trace = self._network.forward(at, x)
        _, gradient, trace = self._network.backward(trace, residual(self._kind, outputs, self._y))
        return LossTape(trace, outputs, gradient)


class Queries:
    """The query sets of T tasks under adapted parameters, a few tasks at a time.

    Args:
        network: to outputs.
        kind: which loss.
        episodes: T of them.
        mode: inductive norms take the statistics of the support set, which is computed beside the
            queries for that.
    """

    def __init__(
        self, network: Network, kind: Kind, episodes: Episode, mode: BatchNormMode
    ) -> None:
        self._network, self._kind, self._y = network, kind, episodes.query_y
        self._x, self._rows = episodes.query_x, None
        if mode == "inductive":
            self._rows = episodes.support_x.shape[1]
            self._x = torch.cat([episodes.support_x, episodes.query_x], 1)

    def gradient(self, params: Tensors) -> tuple[Tensors, Tensors]:
        """Derivatives of the mean loss under ``params``, and its metrics ``[T]``."""
        gradients, measured = [], []
        for part, x in self._parts():
            at = {name: value[part] for name, value in params.items()}
            outputs, trace = self._network.forward(at, x, self._rows)
            own, y = outputs[:, self._rows :], self._y[part]
            gy = torch.zeros_like(outputs)
            gy[:, self._rows :] = residual(self._kind, own, y)
            gradients.append(self._network.backward(trace, gy)[1])
            measured.append(task_metrics(self._kind, own, y))
        return joined(gradients), joined(measured)

    def outputs(self, steps: Sequence[Tensors]) -> Tensor:
        """``[T, len(steps), B, N]``, under the parameters of each of ``steps``."""
        parts = []
        for part, x in self._parts():
            each = [{name: value[part] for name, value in params.items()} for params in steps]
            made = [self._network.forward(at, x, self._rows)[0] for at in each]
            parts.append(torch.stack([outputs[:, self._rows :] for outputs in made], 1))
        return torch.cat(parts)

    def _parts(self) -> Iterator[tuple[slice, Any]]:
        """Tasks that are computed together, and their inputs."""
        for part in parts_of(self._x):
            yield part, self._network.prepare(self._x[part], self._rows)


def parts_of(x: Tensor) -> list[slice]:
    """The tasks of inputs ``[T, B, ...]`` in parts that are best computed together."""
    tasks, images = x.shape[:2]
    size = max(1, _IMAGES_AT_ONCE // images) if x.device.type == "cpu" else tasks
    return [slice(first, first + size) for first in range(0, tasks, size)]


def joined(parts: Sequence[Mapping[str, Tensor]]) -> Tensors:
    """Tensors of parts of the tasks, along the task axis."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
