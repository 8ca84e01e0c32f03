"""Reptile.

Nichol, Achiam & Schulman, "On First-Order Meta-Learning Algorithms", 2018 (arXiv 1803.02999).
Algorithm 2 (batched): train on each task for k mini-batch steps, then move towards the mean of the
results::

    theta <- theta + e * mean_T( theta_T^k - theta )

``theta - theta_T^k`` serves as the task's gradient; the outer optimizer is SGD whose rate e falls
linearly to zero (appendix A). The inner optimizer is Adam with beta1 = 0.

Deviations: the authors run the tasks of a meta-batch one after another and let Adam's second
moment run through them. Here each task starts from the same moment and the mean over the tasks is
carried on, so that the result does not depend on the order or place in which tasks are computed.
Mini-batches cycle through the support set in the order in which it was sampled.

The authors' network for Omniglot has four strided convolutions and passes on all 2 x 2 x 64 = 256
numbers that they leave. The recipe takes ``conv4_strided``, which takes the mean over space: 64
features. Their batch norm has an epsilon of 1e-3 (here 1e-5), and on miniImageNet it comes after
the max pooling (here before).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.func import grad
from typing_extensions import override

from metaray.algorithms.algorithm import State, TaskGradient
from metaray.algorithms.configs import BatchNormMode
from metaray.algorithms.episode import Episode
from metaray.algorithms.losses import Kind, loss_of, metrics_of
from metaray.algorithms.methods.gradient_based import FastWeights, GradientBased
from metaray.algorithms.methods.reptile_config import ReptileConfig
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.rules.losses import task_metrics
from metaray.algorithms.rules.network import NetworkLoss, Queries

_BETA2 = 0.999
_EPSILON = 1e-8
_MOMENT = "adam.second_moment."
_COUNT = "adam.steps"


Slope = Callable[[Tensors, Tensor], Tensors]
"""Parameters and the rows of a mini-batch to the derivative of its loss."""


class Reptile(GradientBased):
    """Ordinary training on each task, and a step towards where it led."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: ReptileConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs, config)
        self.config = config

    @override
    def init_buffers(self, params: Tensors, stats: Tensors) -> Tensors:
        """Adam's second moment and step count, or nothing with plain SGD."""
        if self.config.inner_optimizer == "sgd":
            return {}
        moments = {_MOMENT + name: torch.zeros_like(p) for name, p in params.items()}
        return moments | {_COUNT: torch.zeros(1)}

    @override
    def adapt(
        self,
        state: State,
        support_x: Tensor,
        support_y: Tensor,
        ways: int,
        batch_norm: BatchNormMode,
    ) -> list[Any]:
        config = self.config
        path = self._train(
            state,
            self._slope(support_x, support_y),
            batches(support_x, config.eval_inner_steps, config.eval_inner_batch),
        )
        reported = [s.params for k, s in enumerate(path) if k in self.reported_steps]
        return [self.fast_weights(params, support_x, batch_norm) for params in reported]

    @override
    def task_gradient(
        self, state: State, episode: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient:
        """``theta - theta_T^k``. The query set only serves the metrics."""
        config = self.config
        x, y = episode.support_x, episode.support_y
        rows = batches(x, config.inner_steps, config.inner_batch)
        *_, last = self._train(state, self._slope(x, y), rows)
        outputs = self.predict(FastWeights(last.params, None), episode.query_x)
        gradient = {name: start - last.params[name] for name, start in state.params.items()}
        metrics = metrics_of(self.kind, outputs, episode.query_y)
        return TaskGradient(gradient, last.buffers, metrics)

    @override
    def gradients_by_rules(
        self, state: State, episodes: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient:
        config, start = self.config, self._packed(state, episodes)
        rows = batches(episodes.support_x[0], config.inner_steps, config.inner_batch)
        *_, last = self._train(start, self._slope_by_rules(episodes), rows)
        outputs = Queries(self.network, self.kind, episodes, "transductive").outputs([last.params])
        moved = {name: p - last.params[name] for name, p in start.params.items()}
        return TaskGradient(
            self.network.unpack(moved),
            self.network.unpack(last.buffers),
            task_metrics(self.kind, outputs[:, 0], episodes.query_y),
        )

    @override
    def outputs_by_rules(
        self, state: State, episodes: Episode, ways: int, batch_norm: BatchNormMode
    ) -> Tensor:
        config, start = self.config, self._packed(state, episodes)
        rows = batches(episodes.support_x[0], config.eval_inner_steps, config.eval_inner_batch)
        path = self._train(start, self._slope_by_rules(episodes), rows)
        reported = [s.params for k, s in enumerate(path) if k in self.reported_steps]
        return Queries(self.network, self.kind, episodes, batch_norm).outputs(reported)

    def _packed(self, state: State, episodes: Episode) -> State:
        tasks = len(episodes.support_y)
        return State(*(self.network.pack(part, tasks) for part in state))

    def _slope(self, x: Tensor, y: Tensor) -> Slope:
        def loss(params: Tensors, rows: Tensor) -> Tensor:
            return loss_of(self.kind, self.predict(FastWeights(params, None), x[rows]), y[rows])

        return grad(loss)

    def _slope_by_rules(self, episodes: Episode) -> Slope:
        x, y, network = episodes.support_x, episodes.support_y, self.network

        def slope(params: Tensors, rows: Tensor) -> Tensors:
            inputs = network.prepare(x[:, rows])
            return NetworkLoss(network, self.kind, inputs, y[:, rows]).gradient(params, ())[0]

        return slope

    def _train(self, state: State, slope: Slope, rows: Iterable[Tensor]) -> Iterator[State]:
        """The state before training, and after each mini-batch step."""
        yield state
        for batch in rows:
            state = self._step(state, slope(state.params, batch))
            yield state

    def _step(self, state: State, gradient: Tensors) -> State:
        lr = self.config.inner_lr
        if self.config.inner_optimizer == "sgd":
            return state._replace(params={n: p - lr * gradient[n] for n, p in state.params.items()})
        count = state.buffers[_COUNT] + 1
        correction = 1 - _BETA2 ** count.flatten()[:1]  # the same in all tasks
        params, buffers = {}, {_COUNT: count}
        for name, p in state.params.items():
            g = gradient[name]
            moment = _BETA2 * state.buffers[_MOMENT + name] + (1 - _BETA2) * g.square()
            params[name] = p - lr * g / ((moment / correction).sqrt() + _EPSILON)
            buffers[_MOMENT + name] = moment
        return State(params, {name: buffers[name] for name in state.buffers})


def batches(x: Tensor, num_steps: int, batch_size: int) -> Iterator[Tensor]:
    """The rows of ``x`` ``[S, ...]`` in each of ``num_steps`` mini-batches."""
    size = x.shape[0]
    for step in range(num_steps):
        rows = torch.arange(step * batch_size, (step + 1) * batch_size, device=x.device)
        yield rows[:size] % size  # a batch never holds an example twice
