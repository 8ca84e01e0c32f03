"""One step of a transfer job: the gradient of a batch whose shards several processes compute."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metaray.algorithms.algorithm import State
from metaray.algorithms.parameters import Layout, Tensors
from metaray.algorithms.transfer import batches
from metaray.algorithms.transfer.objective import Forward, Shard
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


class _Part(NamedTuple):
    """What a shard adds to the sums beside its gradient; its share of the batch is ``weight``."""

    weight: float
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
        self._sample_s = self._transfer_s = 0.0

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
        self._sample_s = self._transfer_s = 0.0
        leaf = flat.detach().requires_grad_()
        params = self._blueprint.param_layout.unflatten(leaf)
        state = State(
            {n: p if factors.get(n, 1) else p.detach() for n, p in params.items()}, buffers
        )
        progress = self._blueprint.progress(step)
        order = self._blueprint.shuffled_order(step)
        outputs: Tensors = {}
        if self._objective.couples_batch:
            parts, outputs = self._coupled(state, step, progress, order)
        else:
            parts = self._separate(state, step, progress, order)
        gradient = leaf.grad if leaf.grad is not None else torch.zeros_like(flat)
        return self._added(gradient, parts, outputs, signal)

    def _separate(
        self, state: State, step: int, progress: float, order: np.ndarray[Any, Any]
    ) -> list[_Part]:
        """Each shard by itself, so that one at a time is in memory."""
        parts = []
        for own in self._shards:
            shard = self._shard(own, step, order)
            with autocast(self._blueprint.config.workers, self._device):
                forward = self._objective.forward(state, shard, progress)
            outputs = {name: self._full(value) for name, value in forward.outputs.items()}
            loss, metrics = self._objective.loss(state, outputs, shard.labels, progress)
            _backward(own.weight * loss)
            parts.append(_Part(own.weight, _detached(forward.batch_stats), _detached(metrics)))
        return parts

    def _coupled(
        self, state: State, step: int, progress: float, order: np.ndarray[Any, Any]
    ) -> tuple[list[_Part], Tensors]:
        """All shards, then one loss over the outputs of all processes."""
        forwards = []
        with autocast(self._blueprint.config.workers, self._device):
            for own in self._shards:
                shard = self._shard(own, step, order)
                forwards.append(self._objective.forward(state, shard, progress))
        outputs = {name: self._gathered(forwards, name) for name in forwards[0].outputs}
        is_first = self._communicator.rank == 0
        if not is_first:  # what the loss takes from the parameters directly is to count once
            state = State({name: p.detach() for name, p in state.params.items()}, state.buffers)
        labels = tuple(_to(y, self._device) for y in self._blueprint.labels(step))
        loss, metrics = self._objective.loss(state, outputs, labels, progress)
        _backward(loss)
        parts = [
            _Part(own.weight, _detached(forward.batch_stats), {})
            for own, forward in zip(self._shards, forwards, strict=True)
        ]
        # each process has the same metrics: those of the first are taken
        parts.append(_Part(float(is_first), {}, _detached(metrics)))
        return parts, _detached(outputs)

    def _gathered(self, forwards: list[Forward], name: str) -> Tensor:
        rows = {
            own.begin: self._full(forward.outputs[name])[: None if own.weight else 0]
            for own, forward in zip(self._shards, forwards, strict=True)
        }
        started = perf_counter()
        gathered = self._communicator.gather(rows, self._blueprint.batch_size)
        self._transfer_s += perf_counter() - started
        return gathered

    def _added(
        self,
        gradient: Tensor,
        parts: list[_Part],
        outputs: Tensors,
        signal: int,
    ) -> Gradient:
        """Everything that is added over the processes, in one vector."""
        batch_stats = _weighted([(part.weight, part.batch_stats) for part in parts])
        metrics = _weighted([(part.weight, part.metrics) for part in parts])
        layouts = Layout.of(batch_stats), Layout.of(metrics)
        pieces = [
            gradient,
            layouts[0].flatten(batch_stats).to(gradient),
            layouts[1].flatten(metrics).to(gradient),
            gradient.new_tensor([float(signal)]),
        ]
        total = torch.cat(pieces)
        started = perf_counter()
        self._communicator.add(total)
        self._transfer_s += perf_counter() - started
        flat, stats, shown, signals = total.split([len(piece) for piece in pieces])
        return Gradient(
            flat=flat,
            batch_stats=layouts[0].unflatten(stats),
            metrics={n: float(v) for n, v in layouts[1].unflatten(shown).items()},
            outputs=outputs,
            signal=round(signals.item()),
            sample_s=self._sample_s,
            transfer_s=self._transfer_s,
        )

    def _shard(self, own: _OwnShard, step: int, order: np.ndarray[Any, Any]) -> Shard:
        started = perf_counter()
        blueprint, places = self._blueprint, np.arange(own.begin, own.end)
        images, labels = [], []
        for number, view in enumerate(self._objective.views):
            at = order[places] if view.shuffled else places
            x = blueprint.images(view, number, step, at)
            images.append(x.to(self._device, blueprint.dtype))
            labels.append(_to(blueprint.shard_labels(view, step, at), self._device))
        shard = Shard(
            images=tuple(images),
            labels=tuple(labels),
            order=torch.from_numpy(order[places]).to(self._device),
            key=batches.drop_key(blueprint.config.seed, step, own.number).to(self._device),
        )
        self._sample_s += perf_counter() - started
        return shard

    def _full(self, output: Tensor) -> Tensor:
        """In the type of the parameters, which losses need."""
        return output.to(self._blueprint.dtype) if output.is_floating_point() else output


def _backward(loss: Tensor) -> None:
    if loss.requires_grad:  # all may be frozen
        loss.backward()


def _detached(tensors: Tensors) -> Tensors:
    return {name: value.detach() for name, value in tensors.items()}


def _weighted(parts: list[tuple[float, Tensors]]) -> Tensors:
    total: Tensors = {}
    for weight, tensors in parts:
        for name, value in tensors.items():
            share = weight * value
            total[name] = total[name] + share if name in total else share
    return total


def _to(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    return None if tensor is None else tensor.to(device)
