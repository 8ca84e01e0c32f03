"""A transfer job in the outer loop: each process computes its shards, and all add gradients."""

from __future__ import annotations

from time import perf_counter
from typing import NamedTuple

import torch
from typing_extensions import override

from metaray.algorithms.algorithm import State
from metaray.platform.common.errors import NonFiniteError
from metaray.platform.run.checkpoint import Checkpoint, part_of
from metaray.platform.run.metrics_log import MetricsRow
from metaray.platform.training.device import gpu_memory, gpu_metrics
from metaray.platform.training.executor import Executor, Signal, StepOutcome
from metaray.platform.training.schedule import transfer_schedule
from metaray.platform.training.transfer.blueprint import TransferBlueprint
from metaray.platform.training.transfer.communicator import Communicator
from metaray.platform.training.transfer.evaluator import Evaluator
from metaray.platform.training.transfer.initialization import buffers_of, state_tensors
from metaray.platform.training.transfer.optimizer import FlatOptimizer
from metaray.platform.training.transfer.step import BatchGradient, Gradient

STATISTICS_MOMENTUM = 0.1
"""share of a batch in running statistics, as everywhere in metaray"""


class _Update(NamedTuple):
    """What a step did."""

    gradient: Gradient
    norm: float
    lr: float
    seconds: float
    """of all that followed the gradient"""


class GroupExecutor(Executor):
    """Holds the whole state in each process. A lost process restarts the group."""

    def __init__(
        self,
        blueprint: TransferBlueprint,
        communicator: Communicator,
        device: torch.device,
        evaluator: Evaluator,
    ) -> None:
        self._blueprint = blueprint
        self._objective = blueprint.objective
        self._train = blueprint.config.train
        self._schedule = transfer_schedule(self._train, blueprint.steps)
        self._communicator = communicator
        self._device = device
        self._evaluator = evaluator
        self._gradient = BatchGradient(blueprint, communicator, device)
        self.runs_in_group = communicator.size > 1
        self._step = 0

    @property
    def state(self) -> State:
        """Parameters and buffers by name."""
        return State(self._blueprint.param_layout.unflatten(self._flat), self._buffers)

    @override
    def step(self, step: int, signal: Signal) -> StepOutcome:
        started = perf_counter()
        update = self._update(step, signal)
        step_s = perf_counter() - started
        self._step = step + 1
        signal = Signal(update.gradient.signal)
        return StepOutcome(self._row(update, step_s), signal)

    @override
    def validate(self) -> MetricsRow:
        return dict(self._evaluator.validate(self.state))

    @override
    def snapshot(self) -> Checkpoint:
        slots = self._optimizer.slots()
        return Checkpoint(
            step=self._step,
            tensors=state_tensors(self._flat, self._buffers)
            | {f"optimizer.{name}": slot for name, slot in slots.items()},
        )

    @override
    def restore(self, checkpoint: Checkpoint) -> None:
        self._step = checkpoint.step
        self._flat = checkpoint.tensors["params"].to(self._device, copy=True)
        self._buffers = {
            name: value.to(self._device, copy=True)
            for name, value in buffers_of(checkpoint).items()
        }
        self._optimizer = FlatOptimizer(
            self._flat, self._blueprint.param_layout, self._objective, self._train
        )
        self._optimizer.load(part_of(checkpoint.tensors, "optimizer."))

    def _row(self, update: _Update, step_s: float) -> MetricsRow:
        gradient, examples = update.gradient, self._blueprint.batch_size
        return {
            **gradient.metrics,
            "grad_norm": update.norm,
            "lr": update.lr,
            "epoch": self._step / self._blueprint.steps_per_epoch,
            "examples": examples,
            "examples_per_s": examples / step_s,
            "step_s": step_s,
            "sample_s": gradient.sample_s,
            "compute_s": step_s - update.seconds - gradient.sample_s - gradient.transfer_s,
            "transfer_s": gradient.transfer_s,
            "update_s": update.seconds,
            **gpu_metrics([gpu_memory(self._device)]),
            "workers": self._communicator.size,
        }

    def _update(self, step: int, signal: Signal) -> _Update:
        """Gradient, check, optimizer, statistics: all processes do the same."""
        objective, progress = self._objective, self._blueprint.progress(step)
        with torch.no_grad():
            buffers = objective.begin_step(self.state).buffers
        factors = objective.groups(progress)
        gradient = self._gradient.of(self._flat, buffers, step, factors, signal)
        computed = perf_counter()
        norm = float(torch.linalg.vector_norm(gradient.flat))
        _check_finite(step, gradient, norm)
        if self._train.clip_norm is not None and norm > self._train.clip_norm:
            gradient.flat.mul_(self._train.clip_norm / norm)
        lr = self._schedule.at(step)
        self._optimizer.step(gradient.flat, lr, factors)
        with torch.no_grad():
            keep = 1 - STATISTICS_MOMENTUM
            moved = {
                name: keep * buffers[name] + STATISTICS_MOMENTUM * value.to(buffers[name])
                for name, value in gradient.batch_stats.items()
            }
            self._buffers = {**buffers, **moved}
            self._buffers = objective.end_step(self.state, gradient.outputs)
        return _Update(gradient, norm, lr, perf_counter() - computed)


def _check_finite(step: int, gradient: Gradient, norm: float) -> None:
    loss = gradient.metrics.get("loss", 0.0)
    total = torch.tensor([norm, loss])
    if not bool(torch.isfinite(total).all()):
        raise NonFiniteError(
            f"the gradient of step {step} is not finite (loss {loss:g}, norm {norm:g}), "
            "nothing was updated: lower train.lr or set train.clip_norm"
        )
