"""Implicit MAML.

Rajeswaran, Finn, Kakade & Levine, "Meta-Learning with Implicit Gradients", NeurIPS 2019 (arXiv
1909.04630). The inner loop minimises the support loss with a pull to the initialisation, by plain
gradient steps (the paper's iMAML with gradient descent), and the meta-gradient is that of the
minimum, which does not depend on the steps (``implicit``)::

    phi_{k+1} = phi_k - a (grad L^support(phi_k) + lambda (phi_k - theta))       phi_0 = theta

Deviations: losses are means over the examples. Scale and shift of batch norm are meta-learned but
not adapted, as in ``maml``; their meta-gradient is that of the minimum, too. The authors' code
takes its steps without the pull, then one step of the pull alone; here it is part of each step, as
in the paper's equation 3. Their conjugate gradients invert ``2 + H / (lambda + 10)``; here it is
the paper's ``1 + H / lambda``. As in their code, there is no pull in the test, unless
``method.eval_proximal`` asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.func import grad
from typing_extensions import override

from metaray.algorithms.algorithm import State, TaskGradient
from metaray.algorithms.configs import BatchNormMode
from metaray.algorithms.episode import Episode
from metaray.algorithms.implicit import Proximal, implicit_gradient
from metaray.algorithms.inner_loop import AutogradLoss, Rates, Step
from metaray.algorithms.losses import Kind
from metaray.algorithms.methods.gradient_based import GradientAdaptation, equal_rates
from metaray.algorithms.methods.imaml_config import ImplicitMAMLConfig
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.rules.network import Queries


class ImplicitMAML(GradientAdaptation):
    """Steps on the support loss with a pull to their start, and the gradient of the minimum."""

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: ImplicitMAMLConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs, config, "first_order")
        self.config = config

    @override
    def rates(self, params: Tensors) -> Rates:
        """``inner_lr`` for all but scale and shift of batch norm."""
        return equal_rates(params, self.config.inner_lr)

    @override
    def adapt(
        self,
        state: State,
        support_x: Tensor,
        support_y: Tensor,
        ways: int,
        batch_norm: BatchNormMode,
    ) -> list[Any]:
        step = self._step(state.params, support_x, support_y, self.config.eval_proximal)
        trajectory = _trajectory(step, state.params, self.config.eval_inner_steps)
        reported = [trajectory[taken] for taken in self.reported_steps]
        return [self.fast_weights(params, support_x, batch_norm) for params in reported]

    @override
    def task_gradient(
        self, state: State, episode: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient:
        """The implicit derivative of the query loss where the inner steps end."""

        def query_loss(params: Tensors) -> tuple[Tensor, Tensors]:
            metrics = self.query_metrics(params, episode, self.config.train_batch_norm)
            return metrics["loss"], metrics

        x, y = episode.support_x, episode.support_y
        step = self._step(state.params, x, y, self.config.proximal)
        at = _trajectory(step, state.params, self.config.inner_steps)[-1]
        slope, metrics = grad(query_loss, has_aux=True)(at)
        return TaskGradient(self._implicit(step, at, slope), state.buffers, metrics)

    @override
    def gradients_by_rules(
        self, state: State, episodes: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient:
        start, step, _ = self._pulled_step(state, episodes, ways, self.config.proximal)
        at = _trajectory(step, start, self.config.inner_steps)[-1]
        queries = Queries(self.network, self.kind, episodes, self.config.train_batch_norm)
        slope, metrics = queries.gradient(at)
        last = self._pulled_step(state, episodes, ways, self.config.proximal)[1]  # keeps its tape
        gradient = self.network.unpack(self._implicit(last, at, slope, batched=True))
        return TaskGradient(gradient, {}, metrics)

    @override
    def _first_step(
        self, state: State, episodes: Episode, ways: int
    ) -> tuple[Tensors, Step, Callable[[Tensors], Tensors]]:
        return self._pulled_step(state, episodes, ways, self.config.eval_proximal)

    def _pulled_step(
        self, state: State, episodes: Episode, ways: int, proximal: float
    ) -> tuple[Tensors, Step, Callable[[Tensors], Tensors]]:
        start, step, pull_back = super()._first_step(state, episodes, ways)
        pulled = Proximal(step.objective, start, list(step.rates), proximal)
        return start, Step(pulled, step.rates), pull_back

    def _step(self, start: Tensors, x: Tensor, y: Tensor, proximal: float) -> Step:
        loss = AutogradLoss(lambda params: self.support_loss(params, x, y))
        rates = self.rates(start)
        return Step(Proximal(loss, start, list(rates), proximal), rates)

    def _implicit(self, step: Step, at: Tensors, slope: Tensors, batched: bool = False) -> Tensors:
        assert isinstance(step.objective, Proximal)
        config, names = self.config, list(step.rates)
        return implicit_gradient(
            step.objective, at, slope, names, config.proximal, config.cg_steps, batched
        )


def _trajectory(step: Step, start: Tensors, num_steps: int) -> list[Tensors]:
    """Parameters after 0, 1, ..., ``num_steps`` steps."""
    trajectory = [start]
    for _ in range(num_steps):
        trajectory.append(step.taken(trajectory[-1])[0])
    return trajectory
