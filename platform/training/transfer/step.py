"""One step of a transfer job: the gradient of a batch whose shards several processes compute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.parameters import Layout, Tensors
from metaray.algorithms.transfer import batches
from metaray.algorithms.transfer.objective import Shard
from metaray.platform.training.device import autocast
from metaray.platform.training.transfer.blueprint import TransferBlueprint
from metaray.platform.training.transfer.communicator import Communicator


class Gradient(NamedTuple):
    """What a step needs of the whole batch, the same in every process."""

    flat: Tensor
    """of the mean loss, as the parameters lie"""
    batch_stats: Tensors
    """normalisation statistics: the mean over shards"""
    metrics: dict[str, float]
    outputs: Tensors
    """of the whole batch where the objective couples it, else empty"""
    signal: int
    """the sum of the processes' signals: that of the first, as others give 0"""
    sample_s: float
    """of this process: reading and augmenting images"""
    transfer_s: float
    """of this process: exchanging with the others, and waiting for them"""


@dataclass(frozen=True)
class _OwnShard:
    number: int
    begin: int
    end: int
    weight: float
    """its share of the batch; 0 for a process that has none, which computes along"""


class _Step(NamedTuple):
    """Where a step is, and what it draws."""

    leaf: Tensor
    """the parameters in one, at which gradients arrive"""
    state: State
    number: int
    progress: float
    order: np.ndarray[Any, Any]
    """of the images of the batch, for views that shuffle them"""


class _Part(NamedTuple):
    """What a shard adds to the sums, times its share of the batch."""

    gradient: Tensor
    batch_stats: Tensors
    metrics: Tensors


class BatchGradient:
    """Computes gradients for one process of a communicator's."""

    def __init__(
        self, blueprint: TransferBlueprint, communicator: Communicator, device: torch.device
    ) -> None:
        self._blueprint = blueprint
        self._objective = blueprint.objective
        self._communicator = communicator
        self._device = device
        total = blueprint.batch_size
        shards = [
            _OwnShard(number, begin, end, (end - begin) / total)
            for number, (begin, end) in enumerate(blueprint.shards)
        ]
        own = shards[communicator.rank :: communicator.size]
        self._shards = own or [_OwnShard(0, *blueprint.shards[0], 0.0)]
        self._owners = [shard.number % communicator.size for shard in shards]
        self._sample_s = 0.0

    def of(
        self, flat: Tensor, buffers: Tensors, step: int, factors: dict[str, float], signal: int
    ) -> Gradient:
        """The gradient of ``step`` at the parameters ``flat``.

        Args:
            flat: parameters, which stay as they are.
            buffers: those of this step.
            step: 0-based.
            factors: of the learning rates; where 0 no gradient is computed.
            signal: of this process; 0 for none.
        """
        self._sample_s, exchanged_s = 0.0, self._communicator.exchange_s
        leaf = flat.detach().requires_grad_()
        params = self._blueprint.param_layout.unflatten(leaf)
        state = State(
            {n: p if factors.get(n, 1) else p.detach() for n, p in params.items()}, buffers
        )
        progress, order = self._blueprint.progress(step), self._blueprint.shuffled_order(step)
        at = _Step(leaf, state, step, progress, order)
        outputs: Tensors = {}
        if self._objective.couples_batch:
            parts, outputs = self._coupled(at)
        else:
            parts = self._separate(at)
        gradient, batch_stats, metrics, signals = self._added(parts, signal)
        return Gradient(
            flat=gradient,
            batch_stats=batch_stats,
            metrics={name: float(value) for name, value in metrics.items()},
            outputs=outputs,
            signal=round(signals.item()),
            sample_s=self._sample_s,
            transfer_s=self._communicator.exchange_s - exchanged_s,
        )

    def _separate(self, at: _Step) -> Iterator[_Part]:
        """Each shard by itself, so that one at a time is in memory."""
        for own in self._shards:
            shard = self._shard(own, at)
            with autocast(self._blueprint.config.workers, self._device):
                forward = self._objective.forward(at.state, shard, at.progress)
            outputs = {name: self._full(value) for name, value in forward.outputs.items()}
            loss, metrics = self._objective.loss(at.state, outputs, shard.labels, at.progress)
            _backward(own.weight * loss)
            yield _Part(
                _taken(at.leaf),
                _times(own.weight, forward.batch_stats),
                _times(own.weight, metrics),
            )

    def _coupled(self, at: _Step) -> tuple[Iterator[_Part], Tensors]:
        """All shards, then one loss over the outputs of all processes."""
        forwards = []
        with autocast(self._blueprint.config.workers, self._device):
            for own in self._shards:
                shard = self._shard(own, at)
                forwards.append(self._objective.forward(at.state, shard, at.progress))
        own_outputs = [
            {name: self._full(output) for name, output in forward.outputs.items()}
            for forward in forwards
        ]
        outputs = {name: self._gathered(own_outputs, name) for name in own_outputs[0]}
        labels = tuple(_to(y, self._device) for y in self._blueprint.labels(at.number))
        loss, metrics = self._objective.loss(at.state, outputs, labels, at.progress)
        _backward(loss)

        # the last shard comes first, with what the loss takes from the parameters themselves: so
        # autograd adds them where one graph holds all shards
        last = len(self._owners) - 1

        def parts() -> Iterator[_Part]:
            shards = [*zip(self._shards, forwards, own_outputs, strict=True)]
            for own, forward, ours in reversed(shards):
                if own.number != last:
                    at.leaf.grad = None
                _backward_from(ours, outputs, slice(own.begin, own.end))
                yield _Part(
                    _taken(at.leaf),
                    _times(own.weight, forward.batch_stats),
                    _times(float(own.number == last), metrics),  # each process has the same
                )

        return parts(), _detached(outputs)

    def _gathered(self, own_outputs: list[Tensors], name: str) -> Tensor:
        """One output of all shards, the start of the graph of the loss."""
        rows = {
            own.begin: outputs[name][: None if own.weight else 0]
            for own, outputs in zip(self._shards, own_outputs, strict=True)
        }
        gathered = self._communicator.gather(rows, self._blueprint.batch_size)
        return gathered.requires_grad_(own_outputs[0][name].requires_grad)

    def _added(
        self, parts: Iterator[_Part], signal: int
    ) -> tuple[Tensor, Tensors, Tensors, Tensor]:
        """Gradients, statistics, metrics and signals of all shards, added in the order of these;
        gradients in that of ``parts``, which has the last shard first if the batch is coupled."""
        layouts: list[Layout] = []
        small: list[Tensor] = []

        def gradients() -> Iterator[Tensor]:
            for part in parts:
                layouts[:] = Layout.of(part.batch_stats), Layout.of(part.metrics)
                own_signal = part.gradient.new_tensor([0.0 if small else float(signal)])
                flat = [layouts[0].flatten(part.batch_stats), layouts[1].flatten(part.metrics)]
                small.append(torch.cat([*(each.to(own_signal) for each in flat), own_signal]))
                yield part.gradient

        step = -1 if self._objective.couples_batch else 1
        gradient = self._communicator.sum_in_order(gradients(), self._owners[::step])
        total = self._communicator.sum_in_order(small[::step], self._owners)
        stats, shown, signals = total.split([*(layout.size for layout in layouts), 1])
        return gradient, layouts[0].unflatten(stats), layouts[1].unflatten(shown), signals

    def _shard(self, own: _OwnShard, at: _Step) -> Shard:
        started = perf_counter()
        blueprint, places = self._blueprint, np.arange(own.begin, own.end)
        images, labels = [], []
        for number, view in enumerate(self._objective.views):
            seen = at.order[places] if view.shuffled else places
            x = blueprint.images(view, number, at.number, seen)
            images.append(x.to(self._device, blueprint.dtype))
            labels.append(_to(blueprint.shard_labels(view, at.number, seen), self._device))
        shard = Shard(
            images=tuple(images),
            labels=tuple(labels),
            order=torch.from_numpy(at.order[places]).to(self._device),
            key=batches.drop_key(blueprint.config.seed, at.number, own.number).to(self._device),
        )
        self._sample_s += perf_counter() - started
        return shard

    def _full(self, output: Tensor) -> Tensor:
        """In the type of the parameters, which losses need."""
        return output.to(self._blueprint.dtype) if output.is_floating_point() else output


def _backward(loss: Tensor) -> None:
    if loss.requires_grad:  # all may be frozen
        loss.backward()


def _backward_from(own: Tensors, whole: Tensors, rows: slice) -> None:
    """Go back from outputs of a shard, by the gradients at its ``rows`` of those of the batch."""
    slopes = {
        name: slope[rows] for name, output in whole.items() if (slope := output.grad) is not None
    }
    if slopes:
        torch.autograd.backward([own[name] for name in slopes], list(slopes.values()))


def _taken(leaf: Tensor) -> Tensor:
    """The gradient at ``leaf``, which then has none."""
    gradient = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
    leaf.grad = None
    return gradient.detach()


def _detached(tensors: Tensors) -> Tensors:
    return {name: value.detach() for name, value in tensors.items()}


def _times(factor: float, tensors: Tensors) -> Tensors:
    return {name: factor * value.detach() for name, value in tensors.items()}


def _to(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    return None if tensor is None else tensor.to(device)
