"""What MAML, its kin and Reptile share: a network whose weights are adapted by gradient steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from torch import Tensor
from torch.func import vjp
from typing_extensions import override

from metaray.algorithms.algorithm import Algorithm, State, TaskGradient, curve_steps
from metaray.algorithms.configs import BatchNormMode
from metaray.algorithms.episode import Episode
from metaray.algorithms.inner_loop import (
    Form,
    InnerStep,
    Rates,
    Step,
    descend,
    meta_gradient,
    recursion,
)
from metaray.algorithms.losses import Kind, loss_of, metrics_of
from metaray.algorithms.methods.method_section import SecondOrder
from metaray.algorithms.models.backbone import Backbone
from metaray.algorithms.models.head import HEAD, apply_head
from metaray.algorithms.models.norm import is_norm
from metaray.algorithms.parameters import Tensors
from metaray.algorithms.rules.network import Network, NetworkLoss, Queries
from metaray.algorithms.rules.simple import Linear

_UNROLL_UP_TO = 3  # inner steps; beyond, the graph costs more memory than unrolling saves time
RATE = "rate."
"""how the names of learned step sizes begin"""


class FastWeights(NamedTuple):
    """A network after adaptation."""

    params: Tensors
    stats: Tensors | None
    """statistics to normalise by; None: those of the batch that is predicted"""


class AdaptationConfig(Protocol):
    """What every gradient-based method can be told."""

    @property
    def eval_inner_steps(self) -> int:
        """Inner gradient steps in validation and test."""


class DescentConfig(AdaptationConfig, Protocol):
    """What every method can be told that takes the query loss after equal inner steps."""

    @property
    def inner_steps(self) -> int:
        """Inner gradient steps in training."""

    @property
    def train_batch_norm(self) -> BatchNormMode:
        """Statistics for the query set in training."""


class GradientBased(Algorithm):
    """A backbone with a linear head, both of which an inner loop may change.

    Inductive batch norm, which the papers do not have, normalises queries by the statistics of the
    support set under the adapted weights.
    """

    def __init__(
        self, backbone: Backbone, kind: Kind, num_outputs: int, config: AdaptationConfig
    ) -> None:
        super().__init__(backbone, kind, num_outputs)
        self._eval_inner_steps = config.eval_inner_steps

    @property
    @override
    def reported_steps(self) -> tuple[int, ...]:
        return curve_steps(self._eval_inner_steps)

    @override
    def predict(self, adapted: FastWeights, x: Tensor) -> Tensor:
        features, _ = self.backbone.apply(adapted.params, x, adapted.stats)
        return apply_head(adapted.params, features)

    def support_loss(self, params: Tensors, x: Tensor, y: Tensor) -> Tensor:
        """What inner steps descend: the loss on the support set, normalised by its own batch."""
        return loss_of(self.kind, self.predict(FastWeights(params, None), x), y)

    def query_metrics(self, params: Tensors, episode: Episode, mode: BatchNormMode) -> Tensors:
        """``metrics_of`` the query set under adapted ``params``."""
        adapted = self.fast_weights(params, episode.support_x, mode)
        return metrics_of(self.kind, self.predict(adapted, episode.query_x), episode.query_y)

    def fast_weights(self, params: Tensors, support_x: Tensor, mode: BatchNormMode) -> FastWeights:
        """``params`` with the statistics that ``mode`` asks for."""
        if mode == "transductive":
            return FastWeights(params, None)
        return FastWeights(params, self.backbone.apply(params, support_x, None)[1])

    @cached_property
    def head(self) -> Network:
        """The head alone, of whose input derivatives are wanted."""
        return Network([Linear(*HEAD)], need_x=True)

    @cached_property
    def network(self) -> Network:
        """Backbone and head."""
        return Network([*self.body.layers, *self.head.layers])


class GradientAdaptation(GradientBased):
    """Equal gradient steps on the support set, and the query loss after the last of them."""

    def __init__(
        self,
        backbone: Backbone,
        kind: Kind,
        num_outputs: int,
        config: DescentConfig,
        form: Form,
    ) -> None:
        super().__init__(backbone, kind, num_outputs, config)
        self.form = form
        self._inner_steps = config.inner_steps
        self._train_batch_norm = config.train_batch_norm

    def start(self, params: Tensors, x: Tensor, y: Tensor, ways: int) -> Tensors:
        """Where adaptation to a support set starts, a function that is differentiated too."""
        return params

    @abstractmethod
    def rates(self, params: Tensors) -> Rates:
        """The step size of each parameter that the inner loop changes."""

    @override
    def adapt(
        self,
        state: State,
        support_x: Tensor,
        support_y: Tensor,
        ways: int,
        batch_norm: BatchNormMode,
    ) -> list[Any]:
        start = self.start(state.params, support_x, support_y, ways)
        trajectory = descend(
            lambda params: self.support_loss(params, support_x, support_y),
            start,
            self.rates(start),
            self._eval_inner_steps,
        )
        reported = [trajectory[step] for step in self.reported_steps]
        return [self.fast_weights(params, support_x, batch_norm) for params in reported]

    @override
    def task_gradient(
        self, state: State, episode: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient:
        """The derivative of the query loss after the inner steps, in the method's form."""

        x, y = episode.support_x, episode.support_y

        def query_loss(params: Tensors) -> tuple[Tensor, Tensors]:
            metrics = self.query_metrics(params, episode, self._train_batch_norm)
            return metrics["loss"], metrics

        start, pull_back = self._start(state.params, x, y, ways)
        step = InnerStep(lambda params: self.support_loss(params, x, y), self.rates(start))
        last = self._inner_steps
        result = meta_gradient(self.form, [step] * last, {last: query_loss}, start)
        return TaskGradient(pull_back(result.gradient), state.buffers, result.aux[last])

    def _start(
        self, params: Tensors, x: Tensor, y: Tensor, ways: int
    ) -> tuple[Tensors, Callable[[Tensors], Tensors]]:
        """The start, and the function from a gradient with respect to it to one to ``params``."""
        if type(self).start is GradientAdaptation.start:  # vjp imports sympy, which takes a second
            return params, lambda gradient: gradient
        start, pull_back = vjp(lambda params: self.start(params, x, y, ways), params)[:2]
        return start, lambda gradient: pull_back(gradient)[0]

    def start_by_rules(
        self, params: Tensors, support: Any, y: Tensor, ways: int
    ) -> tuple[Tensors, Callable[[Tensors], Tensors]]:
        """``start`` of T tasks, and its pull-back.

        Args:
            params: of each task, packed.
            support: prepared support images.
            y: their labels ``[T, S]``.
            ways: classes.
        """
        return params, lambda gradient: gradient

    @override
    def gradients_by_rules(
        self, state: State, episodes: Episode, ways: int, progress: float = 0.0
    ) -> TaskGradient:
        last, second_order = self._inner_steps, self.form != "first_order"
        start, step, pull_back = self._first_step(state, episodes, ways)
        queries = Queries(self.network, self.kind, episodes, self._train_batch_norm)
        result = recursion([step] * last, {last: queries.gradient}, start, second_order)
        gradient = self.network.unpack(pull_back(result.gradient))
        return TaskGradient(gradient, {}, result.aux[last])

    @override
    def outputs_by_rules(
        self, state: State, episodes: Episode, ways: int, batch_norm: BatchNormMode
    ) -> Tensor:
        at, step, _ = self._first_step(state, episodes, ways)
        reported = []
        for taken in range(self._eval_inner_steps + 1):
            at = step.taken(at)[0] if taken else at
            if taken in self.reported_steps:
                reported.append(at)
        return Queries(self.network, self.kind, episodes, batch_norm).outputs(reported)

    def _first_step(
        self, state: State, episodes: Episode, ways: int
    ) -> tuple[Tensors, Step, Callable[[Tensors], Tensors]]:
        """Where T tasks start, the step that each of them takes, and the start's pull-back."""
        x, y = self.network.prepare(episodes.support_x), episodes.support_y
        params = self.network.pack(state.params, len(y))
        start, pull_back = self.start_by_rules(params, x, y, ways)
        step = Step(NetworkLoss(self.network, self.kind, x, y), self.rates(start))
        return start, step, pull_back


def equal_rates(params: Tensors, size: float) -> Rates:
    """One step size for all but scale and shift of batch norm, which no inner step changes."""
    return {name: size for name in params if not is_norm(name)}


def rate_name(name: str, step: int | None = None) -> str:
    """What the learned step size of the parameter ``name`` is called, in all steps or in one."""
    return RATE + (name if step is None else f"{step}.{name}")


def second_order_form(choice: SecondOrder, inner_steps: int) -> Form:
    """The form that ``auto`` stands for: both are exact, they differ in memory and speed."""
    if choice == "auto":
        return "unrolled" if inner_steps <= _UNROLL_UP_TO else "recursion"
    return choice
