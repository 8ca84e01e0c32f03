r"""The inner loop of gradient-based meta-learning, and three meta-gradients through it.

Inner steps, on the adapted parameters only::

    theta_{k+1} = theta_k - a_k * dL_k(theta_k)        a: step sizes, k = 0 .. K-1

The objective is a sum of query losses after chosen steps, most often one after the last:
``sum_k Q_k(theta_k)``. Its derivative with respect to ``theta_0``, and to step sizes that are
meta-learned:

``unrolled``    back-propagates through the graph of all K steps; its memory grows with K.
``recursion``   v_K = dQ_K(theta_K);  v_k = v_{k+1} - H_k(theta_k) (a_k * v_{k+1}) + dQ_k(theta_k);
                result v_0, and - v_{k+1} * dL_k(theta_k) for the step size a_k.
                Keeps only the K parameter sets and takes one Hessian-vector product a step
                (forward over reverse), so the graph in memory is that of one step. The same
                gradient to rounding: it is reverse-mode differentiation written out, with each
                step's graph made again (compare the reverse sweep of Maclaurin et al. 2015).
``first_order`` without the Hessians: inner gradients count as constants (Finn et al. 2017,
                section 5.2).

All are pure functions of one task, for use under ``torch.func.vmap``.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.func import grad, jvp
from typing_extensions import override

from metaray.algorithms.parameters import Tensors

Loss = Callable[[Tensors], Tensor]
"""Parameters to a scalar."""
LossWithAux = Callable[[Tensors], tuple[Tensor, Any]]
"""Parameters to a scalar and what else is wanted of that evaluation."""
Rates = Mapping[str, float | str]
"""Step size of each adapted parameter: a number, or the name of the parameter that holds it, which
is ``[]`` or shaped as the adapted one. A parameter without a step size is held fixed."""
Form = Literal["unrolled", "recursion", "first_order"]


class InnerStep(NamedTuple):
    """One step of gradient descent."""

    loss: Loss
    rates: Rates


class Objective(ABC):
    """A loss that gives its own derivatives, of one task or of many at once."""

    @abstractmethod
    def gradient(self, at: Tensors, names: Sequence[str]) -> tuple[Tensors, Any]:
        """The derivative with respect to ``names`` at least, and what ``curvature`` needs of it."""

    @abstractmethod
    def curvature(self, at: Tensors, tape: Any, along: Tensors) -> tuple[Tensors, Tensors]:
        """The derivative at ``at`` again, and its own derivative along ``along``."""


class Step(NamedTuple):
    """One step of gradient descent on an objective that gives its own derivatives."""

    objective: Objective
    rates: Rates

    def taken(self, at: Tensors) -> tuple[Tensors, Tensors, Any]:
        """The parameters after it, the derivative at ``at``, and its tape."""
        gradient, tape = self.objective.gradient(at, list(self.rates))
        return at | _moved(at, self.rates, gradient), gradient, tape


QueryGradient = Callable[[Tensors], tuple[Tensors, Any]]
"""Parameters to the derivative of a query loss, and what else is wanted of that evaluation."""


class MetaGradient(NamedTuple):
    """The derivative of the objective, and what was met on the way."""

    gradient: Tensors
    """named and shaped as the parameters, those that hold step sizes included"""
    aux: dict[int, Any]
    """auxiliary output of each query loss, by the number of steps taken"""
    trajectory: list[Tensors]
    """parameters after 0, 1, ..., K steps"""


with warnings.catch_warnings():  # torch's own tables for forward mode use a deprecated call
    for category in (FutureWarning, DeprecationWarning):  # its category differs by version
        warnings.simplefilter("ignore", category)
    jvp(torch.square, (torch.zeros(()),), (torch.zeros(()),))


class AutogradLoss(Objective):
    """A loss that ``torch.func`` differentiates, of one task; it keeps nothing."""

    def __init__(self, loss: Loss) -> None:
        self._loss = loss

    @override
    def gradient(self, at: Tensors, names: Sequence[str]) -> tuple[Tensors, None]:
        return grad(lambda part: self._loss(at | part))({name: at[name] for name in names}), None

    @override
    def curvature(self, at: Tensors, tape: Any, along: Tensors) -> tuple[Tensors, Tensors]:
        adapted = {name: at[name] for name in along}
        slope_at = jvp(lambda part: grad(self._loss)(at | part), (adapted,), (along,))
        gradient, curvature = slope_at[:2]
        return gradient, curvature


def descend(loss: Loss, params: Tensors, rates: Rates, num_steps: int) -> list[Tensors]:
    """Parameters after 0, 1, ..., ``num_steps`` equal steps of gradient descent on ``loss``."""
    return unroll([InnerStep(loss, rates)] * num_steps, params)


def unroll(
    steps: Sequence[InnerStep], params: Tensors, constant_gradients: bool = False
) -> list[Tensors]:
    """Parameters after 0, 1, ..., ``len(steps)`` steps, each of its own loss and step sizes."""
    trajectory = [params]
    for step in steps:
        at = trajectory[-1]
        seen = {name: p.detach() for name, p in at.items()} if constant_gradients else at
        gradient = grad(lambda part, seen=seen, loss=step.loss: loss(seen | part))(
            {name: seen[name] for name in step.rates}
        )
        trajectory.append(at | _moved(at, step.rates, gradient))
    return trajectory


def meta_gradient(
    form: Form,
    steps: Sequence[InnerStep],
    queries: Mapping[int, LossWithAux],
    params: Tensors,
) -> MetaGradient:
    """Derivative of a sum of query losses with respect to all of ``params``.

    Args:
        form: how; see above.
        steps: the inner steps.
        queries: the terms of the objective, by the number of steps taken before each; the one
            after all of ``steps`` must be there.
        params: where adaptation starts, with the step sizes that ``steps`` name.
    """
    if form == "recursion":
        gradients = {k: grad(query, has_aux=True) for k, query in queries.items()}
        return recursion([Step(AutogradLoss(s.loss), s.rates) for s in steps], gradients, params)

    def objective(start: Tensors) -> tuple[Tensor, tuple[dict[int, Any], list[Tensors]]]:
        trajectory = unroll(steps, start, constant_gradients=form == "first_order")
        terms = {k: query(trajectory[k]) for k, query in queries.items()}
        total = torch.stack([term for term, _ in terms.values()]).sum()
        return total, ({k: aux for k, (_, aux) in terms.items()}, trajectory)

    gradient, (aux, trajectory) = grad(objective, has_aux=True)(params)
    return MetaGradient(gradient, aux, trajectory)


def recursion(
    steps: Sequence[Step],
    queries: Mapping[int, QueryGradient],
    params: Tensors,
    second_order: bool = True,
) -> MetaGradient:
    """The recursion over objectives that give their own derivatives; arguments as above.

    Without ``second_order`` Hessians are left out, which is the first-order form.
    """
    trajectory, tapes = [params], []
    for step in steps:
        at, gradient, tape = step.taken(trajectory[-1])
        trajectory.append(at)
        tapes.append(tape if second_order else gradient)
    last = len(steps)
    v, aux_of_last = queries[last](trajectory[last])
    v = {name: v[name] if name in v else torch.zeros_like(p) for name, p in params.items()}
    aux = {last: aux_of_last}
    for k in reversed(range(last)):
        if second_order:
            v = _pull_back(steps[k], tapes[k], trajectory[k], v)
        else:
            v = _with_slopes_of_rates(v, v, tapes[k], steps[k].rates, trajectory[k])
        if k in queries:
            term, aux[k] = queries[k](trajectory[k])
            v = {name: v[name] + term[name] if name in term else v[name] for name in v}
    return MetaGradient(v, aux, trajectory)


def _moved(at: Tensors, rates: Rates, gradient: Tensors) -> Tensors:
    return {name: at[name] - _size(at, rate, name) * gradient[name] for name, rate in rates.items()}


def _pull_back(step: Step, tape: Any, at: Tensors, v: Tensors) -> Tensors:
    """One step of the recursion: ``v - H (a * v)``, H the Hessian of the step's loss."""
    tangent = {name: _size(at, rate, name) * v[name] for name, rate in step.rates.items()}
    gradient, curvature = step.objective.curvature(at, tape, tangent)
    pulled = {name: v[name] - curvature[name] if name in curvature else v[name] for name in v}
    return _with_slopes_of_rates(pulled, v, gradient, step.rates, at)


def _with_slopes_of_rates(
    pulled: Tensors, v: Tensors, gradient: Tensors, rates: Rates, at: Tensors
) -> Tensors:
    """``pulled`` with what a step adds to the derivative of step sizes that are parameters."""
    pulled = dict(pulled)
    for name, rate in rates.items():
        if isinstance(rate, str):
            slope = v[name] * gradient[name]
            size = at[rate]
            pulled[rate] = pulled[rate] - (
                slope if size.ndim == slope.ndim else slope.flatten(size.ndim).sum(-1)
            )
    return pulled


def _size(params: Tensors, rate: float | str, name: str) -> float | Tensor:
    """A step size, as it multiplies the parameter ``name``."""
    if not isinstance(rate, str):
        return rate
    return widened(params[rate], params[name])


def widened(size: Tensor, like: Tensor) -> Tensor:
    """``size``, of fewer axes than ``like``, as it multiplies ``like``."""
    missing = like.ndim - size.ndim
    return size.reshape(*size.shape, *(1,) * missing) if missing else size
