"""The sole owner of the meta-parameters, the outer optimizer and the step number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from metaray.algorithms.eager_optimizers import SGD, Adam
from metaray.algorithms.outer_loop_registry import build_optimizer
from metaray.platform.common.errors import NonFiniteError
from metaray.platform.config.meta import TrainConfig
from metaray.platform.run.checkpoint import Checkpoint
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.messages import (
    FlatState,
    ShardReport,
    TrainRequest,
    UpdateReport,
)
from metaray.platform.training.schedule import meta_schedule


class MetaLearner:
    """Adds shard sums in shard order, divides by the number of tasks, and steps."""

    def __init__(self, blueprint: Blueprint) -> None:
        torch.set_num_threads(1)
        self.train = blueprint.config.train
        self._schedule = meta_schedule(self.train)
        self._num_params = blueprint.layouts[0].size
        flat = torch.from_numpy(blueprint.initial_flat)
        self._params = nn.Parameter(flat[: self._num_params].clone())
        self._buffers = flat[self._num_params :].clone()
        self._optimizer = _build_optimizer(self._params, self.train)
        self.step = 0

    def state(self) -> FlatState:
        """A copy of parameters and buffers, ``[P + B]``."""
        return torch.cat([self._params.detach(), self._buffers]).numpy()

    def update(
        self,
        requests: Sequence[TrainRequest],
        reports: Sequence[ShardReport],
        sums: Sequence[FlatState],
    ) -> tuple[FlatState, UpdateReport]:
        """One outer step from all shards of a step.

        Args:
            requests: the step's, in shard order.
            reports: on each request.
            sums: the summed gradients and buffers of each request, ``[P + B]``.

        Returns:
            The new state, and a report.

        Raises:
            NonFiniteError: a loss or gradient is not finite; nothing was changed.
            RuntimeError: the step is not the next one: a request was lost or done twice.
        """
        started = perf_counter()
        if requests[0].step != self.step:
            raise RuntimeError(f"at step {self.step}, got an update for {requests[0].step}")
        _check_finite(requests, reports)
        total = _sum_in_order(sums)
        mean = torch.from_numpy(total) / sum(request.num_tasks for request in requests)
        gradient = mean[: self._num_params]
        norm = float(torch.linalg.vector_norm(gradient))
        if not np.isfinite(norm):
            raise NonFiniteError(
                f"the meta-gradient of step {self.step} is not finite (norm {norm}), nothing was "
                "updated: lower train.meta_lr or set train.clip_norm"
            )
        lr = self._apply(gradient)
        self._buffers = mean[self._num_params :].clone()
        self.step += 1
        report = UpdateReport(grad_norm=norm, meta_lr=lr, update_s=perf_counter() - started)
        return self.state(), report

    def snapshot(self) -> Checkpoint:
        """Everything that the next step depends on."""
        slots = self._optimizer.state_dict()["state"].get(0, {})
        tensors = {f"optimizer.{name}": value.clone() for name, value in slots.items()}
        tensors |= {"params": self._params.detach().clone(), "buffers": self._buffers.clone()}
        return Checkpoint(step=self.step, tensors=tensors)

    def restore(self, checkpoint: Checkpoint) -> FlatState:
        """Continue from ``checkpoint``, whose shapes were checked when it was read."""
        tensors = checkpoint.tensors
        with torch.no_grad():
            self._params.copy_(tensors["params"])
        self._buffers = tensors["buffers"].clone()
        self._optimizer = _build_optimizer(self._params, self.train)
        slots = {
            name.removeprefix("optimizer."): value.clone()
            for name, value in tensors.items()
            if name.startswith("optimizer.")
        }
        loaded = self._optimizer.state_dict()
        loaded["state"] = {0: slots} if slots else {}
        self._optimizer.load_state_dict(loaded)
        self.step = checkpoint.step
        return self.state()

    def _apply(self, gradient: Tensor) -> float:
        lr = self._schedule.at(self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._params.grad = gradient.clone()
        if self.train.clip_value is not None:
            nn.utils.clip_grad_value_([self._params], self.train.clip_value)
        if self.train.clip_norm is not None:
            nn.utils.clip_grad_norm_([self._params], self.train.clip_norm)
        self._optimizer.step()
        return lr


def _build_optimizer(params: nn.Parameter, train: TrainConfig) -> torch.optim.Optimizer:
    ours: dict[str, Callable[..., torch.optim.Optimizer]]
    ours = {"adam": Adam, "sgd": SGD}
    if train.optimizer in ours:
        return ours[train.optimizer]([params], lr=train.meta_lr)
    optimizer: torch.optim.Optimizer = build_optimizer(train.optimizer, [params], train.meta_lr)
    return optimizer


def _check_finite(requests: Sequence[TrainRequest], reports: Sequence[ShardReport]) -> None:
    for request, report in zip(requests, reports, strict=True):
        if not report.finite:
            raise NonFiniteError(
                f"the gradient of {request.label} is not finite (loss sum "
                f"{report.metrics['loss']}), nothing was updated: lower method.inner_lr or "
                "train.meta_lr, or set train.clip_norm"
            )


def _sum_in_order(shard_sums: Sequence[FlatState]) -> FlatState:
    total = np.array(shard_sums[0])  # a copy: what comes from the object store is shared
    for shard in shard_sums[1:]:
        total += shard
    return total
