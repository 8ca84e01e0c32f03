"""MAML++.

Antoniou, Edwards & Storkey, "How to train your MAML", ICLR 2019 (arXiv 1810.09502), section 4. MAML
with five changes, each of which can be switched off; with none of them it is MAML:

* Multi-step loss: the objective is ``sum_k w_k L^query(theta_k)`` over all K inner steps. The
  weights start equal; over the first ``multi_step_share`` of the training each but the last falls
  linearly to 0.03 / K, what they lose goes to the last, and then only the last step counts.
* Learned rates: each layer (weight or bias) has its own step size in each inner step.
* Derivative-order annealing: the first ``first_order_share`` of the training is first order. Step
  sizes are learned there too: inner gradients count as constants, steps do not.
* Per-step batch norm: each inner step has its own scale and shift (``per_step_norm``, BNWB in the
  paper) and running statistics (``running_statistics``, BNRS). Step k's set serves the support set
  at ``theta_k`` and the query set at ``theta_{k+1}``, as in the authors' code. Training normalises
  by the current batch.
* The cosine schedule of the outer step size is ``train.schedule``.

Deviations: the paper anneals in epochs (10 or 15 of 100 for the loss, 50 for the order of
derivatives), here in shares of the training and without stairs. The authors' code collects running
statistics but never normalises by them, not even in the test. Here inductive evaluation does if
asked to, with those of the support set after each step; by default it takes the task's own support
set, as for ``maml``, since means over tasks fit no task well. There are as many steps in the test
as in training, since no other step has rates and norms. Scale and shift of batch norm are not
adapted, as in the authors' Omniglot and miniImageNet settings. Their settings for these two data
sets also leave out the first-order phase; here it is on, as in the paper. Their network has leaky
ReLUs (here ReLU), and their test averages the predictions of the five models that were best on
validation; here the best one is tested alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from typing_extensions import override

from metaray.algorithms.algorithm import State, TaskGradient
from metaray.algorithms.configs import BatchNormMode
from metaray.algorithms.episode import Episode
from metaray.algorithms.inner_loop import (
    Form,
    InnerStep,
    LossWithAux,
    Objective,
    QueryGradient,
    Rates,
    Step,
    meta_gradient,
    recursion,
    unroll,
)
from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.gradient_based import (
    RATE,
    FastWeights,
    GradientBased,
    rate_name,
    second_order_form,
)
from metaray.algorithms.methods.mamlpp_config import MAMLPlusPlusConfig
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.norm import is_norm, running_statistics
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.rules.network import NetworkLoss, Queries

_FLOOR = 0.03  # of an equal share: what a step's loss weighs before it is dropped


class MAMLPlusPlus(GradientBased):
    """Parameters of batch norm and its statistics have a leading axis: one row per inner step."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: MAMLPlusPlusConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs, config)
        self.config = config

    @override
    def init_params(self, network: Tensors, generator: torch.Generator) -> Tensors:
        """The network with scale and shift of each step, and the step sizes."""
        params = {
            name: self._per_step(p) if is_norm(name) and self.config.per_step_norm else p
            for name, p in network.items()
        }
        if not self.config.learned_rates:
            return params
        return params | {
            rate_name(name, step): torch.tensor(self.config.inner_lr)
            for step in range(self.config.inner_steps)
            for name in network
            if not is_norm(name)
        }

    @override
    def init_buffers(self, params: Tensors, stats: Tensors) -> Tensors:
        """The running statistics of each step, if they are asked for."""
        if not self.config.running_statistics:
            return {}
        return {name: self._per_step(value) for name, value in stats.items()}

    @override
    def adapt(
        self,
        state: State,
        support_x: Tensor,
        support_y: Tensor,
        ways: int,
        batch_norm: BatchNormMode,
    ) -> list[Any]:
        trajectory = unroll(self._steps(state.params, support_x, support_y), state.params)
        adapted = []
        for k in self.reported_steps:
            after = self._network(trajectory[k], max(k - 1, 0))
            if batch_norm == "inductive" and state.buffers:
                running = {name: value[max(k - 1, 0)] for name, value in state.buffers.items()}
                adapted.append(FastWeights(after, running))
            else:
                adapted.append(self.fast_weights(after, support_x, batch_norm))
        return adapted

    @override
    def task_gradient(
        self, state: State, episode: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient:
        """The derivative of the weighted sum of query losses.

        The metric ``loss`` is that sum; ``accuracy`` is that of the last step.
        """
        weights = step_weights(self.config.inner_steps, progress, self.config.multi_step_share)

        def query(step: int, weight: float) -> LossWithAux:
            def loss(params: Tensors) -> tuple[Tensor, Tensors]:
                at = self._network(params, step)
                metrics = self.query_metrics(at, episode, "transductive")
                weighted = weight * metrics["loss"]
                return weighted, metrics | {"loss": weighted}

            return loss

        result = meta_gradient(
            self._form(progress),
            self._steps(state.params, episode.support_x, episode.support_y),
            {step + 1: query(step, weight) for step, weight in weights.items()},
            state.params,
        )
        metrics = result.aux[self.config.inner_steps]
        loss = torch.stack([term["loss"] for term in result.aux.values()]).sum()
        buffers = self._running(state.buffers, result.trajectory, episode.support_x)
        return TaskGradient(result.gradient, buffers, metrics | {"loss": loss})

    @override
    def gradients_by_rules(
        self, state: State, episodes: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient:
        weights = step_weights(self.config.inner_steps, progress, self.config.multi_step_share)
        queries = Queries(self.network, self.kind, episodes, "transductive")

        def query(step: int, weight: float) -> QueryGradient:
            def gradient(params: Tensors) -> tuple[Tensors, Tensors]:
                slope, metrics = queries.gradient(self._network(params, step, axis=1))
                weighted = {name: weight * value for name, value in slope.items()}
                return self._spread(weighted, step, params), metrics | {
                    "loss": weight * metrics["loss"]
                }

            return gradient

        params = self.network.pack(state.params, len(episodes.support_y))
        result = recursion(
            self._steps_by_rules(params, episodes),
            {step + 1: query(step, weight) for step, weight in weights.items()},
            params,
            self._form(progress) != "first_order",
        )
        metrics = result.aux[self.config.inner_steps]
        loss = torch.stack([term["loss"] for term in result.aux.values()]).sum(0)
        buffers = self._running_by_rules(state.buffers, result.trajectory, episodes.support_x)
        return TaskGradient(self.network.unpack(result.gradient), buffers, metrics | {"loss": loss})

    @override
    def outputs_by_rules(
        self, state: State, episodes: Episode, ways: int, batch_norm: BatchNormMode
    ) -> Tensor:
        params = self.network.pack(state.params, len(episodes.support_y))
        reported = []
        for k, step in enumerate([None, *self._steps_by_rules(params, episodes)]):
            params = step.taken(params)[0] if step else params
            if k in self.reported_steps:
                reported.append((max(k - 1, 0), self._network(params, max(k - 1, 0), axis=1)))
        if batch_norm == "transductive" or not state.buffers:
            queries = Queries(self.network, self.kind, episodes, batch_norm)
            return queries.outputs([params for _, params in reported])
        outputs = [
            self._outputs_by_statistics(
                self.network.unpack(params),
                {name: value[step] for name, value in state.buffers.items()},
                episodes.query_x,
            )
            for step, params in reported
        ]
        return torch.stack(outputs, 1)

    def _outputs_by_statistics(self, params: Tensors, stats: Tensors, x: Tensor) -> Tensor:
        """Outputs ``[T, B, N]`` of networks normalised by running statistics."""
        names = [name for name in params if not name.startswith(RATE)]

        def one(x: Tensor, *values: Tensor) -> Tensor:
            return self.predict(FastWeights(dict(zip(names, values, strict=True)), stats), x)

        outputs: Tensor = vmap(one)(x, *(params[name] for name in names))
        return outputs

    def _steps_by_rules(self, params: Tensors, episodes: Episode) -> list[Step]:
        x = self.network.prepare(episodes.support_x)
        loss = NetworkLoss(self.network, self.kind, x, episodes.support_y)
        return [
            Step(_LossOfStep(self, loss, k), self._rates(k, params))
            for k in range(self.config.inner_steps)
        ]

    def _running_by_rules(
        self, old: Tensors, trajectory: list[Tensors], support_x: Tensor
    ) -> Tensors:
        """As ``_running``, of T tasks."""
        if not old:
            return old
        x = self.body.prepare(support_x)
        seen = [
            self.body.statistics(self.body.forward(self._network(after, step, axis=1), x)[1])
            for step, after in enumerate(trajectory[1:])
        ]
        stacked = {name: torch.stack([stats[name] for stats in seen], 1) for name in old}
        return running_statistics(old, stacked)

    def _form(self, progress: float) -> Form:
        if progress < self.config.first_order_share:
            return "first_order"
        return second_order_form(self.config.second_order, self.config.inner_steps)

    def _steps(self, params: Tensors, x: Tensor, y: Tensor) -> list[InnerStep]:
        return [self._step(k, params, x, y) for k in range(self.config.inner_steps)]

    def _step(self, k: int, params: Tensors, x: Tensor, y: Tensor) -> InnerStep:
        rates = self._rates(k, params)
        return InnerStep(lambda at: self.support_loss(self._network(at, k), x, y), rates)

    def _rates(self, k: int, params: Tensors) -> Rates:
        return {
            name: rate_name(name, k) if self.config.learned_rates else self.config.inner_lr
            for name in params
            if not is_norm(name) and not name.startswith(RATE)
        }

    @override
    def unadapted(self, state: State) -> State:
        """The network of the first step."""
        buffers = {name: value[0] for name, value in state.buffers.items()}
        return State(self._network(state.params, 0), buffers)

    def _network(self, params: Tensors, step: int, axis: int = 0) -> Tensors:
        """The network of one step: its scales and shifts among the shared weights.

        ``axis`` is that of the steps: 1 behind one of tasks.
        """
        if not self.config.per_step_norm:
            return params
        return {n: p.select(axis, step) if is_norm(n) else p for n, p in params.items()}

    def _spread(self, gradient: Tensors, step: int, like: Tensors) -> Tensors:
        """The derivative with respect to the network of one step, as one of all parameters."""
        if not self.config.per_step_norm:
            return gradient
        spread = dict(gradient)
        for name in filter(is_norm, gradient):
            spread[name] = torch.zeros_like(like[name])
            spread[name][:, step] = gradient[name]
        return spread

    def _running(self, old: Tensors, trajectory: list[Tensors], support_x: Tensor) -> Tensors:
        """The running statistics after a task: each step's under the weights that it led to."""
        if not old:
            return old
        seen = [
            self.backbone.apply(self._network(after, step), support_x, None)[1]
            for step, after in enumerate(trajectory[1:])
        ]
        stacked = {name: torch.stack([stats[name] for stats in seen]) for name in old}
        return running_statistics(old, stacked)

    def _per_step(self, tensor: Tensor) -> Tensor:
        return tensor.expand(self.config.inner_steps, *tensor.shape).clone()


class _LossOfStep(Objective):
    """The support loss of T tasks under the norms of one inner step."""

    def __init__(self, method: MAMLPlusPlus, loss: NetworkLoss, step: int) -> None:
        self._method, self._loss, self._step = method, loss, step

    @override
    def gradient(self, at: Tensors, names: Sequence[str]) -> tuple[Tensors, Any]:
        slope, tape = self._loss.gradient(self._network(at), names)
        return self._method._spread(slope, self._step, at), tape

    @override
    def curvature(self, at: Tensors, tape: Any, along: Tensors) -> tuple[Tensors, Tensors]:
        slope, curved = self._loss.curvature(self._network(at), tape, along)
        return slope, self._method._spread(curved, self._step, at)

    def _network(self, at: Tensors) -> Tensors:
        return self._method._network(at, self._step, axis=1)


def step_weights(num_steps: int, progress: float, share: float) -> dict[int, float]:
    """The weight of the query loss after each inner step (0-based) that counts.

    Args:
        num_steps: inner steps, K.
        progress: share of the training that is done.
        share: share of the training over which the weights move to the last step; 0: from the
            beginning it alone counts.

    >>> step_weights(2, 0.0, 0.1)
    {0: 0.5, 1: 0.5}
    >>> step_weights(2, 0.05, 0.1)
    {0: 0.25, 1: 0.75}
    >>> step_weights(2, 0.1, 0.1)
    {1: 1.0}
    """
    if progress >= share:
        return {num_steps - 1: 1.0}
    early = max(1 - progress / share, _FLOOR) / num_steps
    return dict.fromkeys(range(num_steps - 1), early) | {num_steps - 1: 1 - (num_steps - 1) * early}
