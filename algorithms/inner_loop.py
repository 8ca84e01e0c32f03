r"""The inner loop of gradient-based meta-learning, and three meta-gradients through it.

Inner steps, on the adapted parameters only::

    theta_{k+1} = theta_k - a * dL_s(theta_k)          a: step size, k = 0 .. K-1

The meta-gradient is the derivative of ``L_q(theta_K)`` with respect to ``theta_0``:

``unrolled``    back-propagates through the graph of all K steps; its memory grows with K.
``recursive``   v_K = dL_q(theta_K);  v_k = v_{k+1} - H_s(theta_k) (a * v_{k+1});  result v_0.
                Keeps only the K parameter sets and takes one Hessian-vector product a step
                (forward over reverse), so the graph in memory is that of one step. The same
                gradient to rounding: it is reverse-mode differentiation written out, with each
                step's graph made anew (compare the reverse sweep of Maclaurin et al. 2015).
``first order`` v_K itself (Finn et al. 2017, section 5.2).

All are pure functions of one task, for use under ``torch.func.vmap``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.func import grad, jvp

from metaray.algorithms.parameters import Tensors

Loss = Callable[[Tensors], Tensor]
"""Parameters to a scalar."""
LossWithAux = Callable[[Tensors], tuple[Tensor, Any]]
"""Parameters to a scalar and what else is wanted of that evaluation."""
Rates = Mapping[str, float]
"""Step size of each adapted parameter; a parameter without one is held fixed."""
Form = Literal["unrolled", "recursion", "first_order"]


with warnings.catch_warnings():  # torch's own tables for forward mode use a deprecated call
    warnings.simplefilter("ignore", FutureWarning)
    jvp(torch.square, (torch.zeros(()),), (torch.zeros(()),))


def descend(loss: Loss, params: Tensors, rates: Rates, num_steps: int) -> list[Tensors]:
    """Parameters after 0, 1, ..., ``num_steps`` steps of gradient descent on ``loss``."""
    trajectory = [params]
    for _ in range(num_steps):
        fixed = trajectory[-1]
        adapted = {name: fixed[name] for name in rates}
        gradient = grad(lambda part, fixed=fixed: loss(fixed | part))(adapted)
        step = {name: adapted[name] - rates[name] * gradient[name] for name in rates}
        trajectory.append(fixed | step)
    return trajectory


def meta_gradient(
    form: Form,
    support_loss: Loss,
    query_loss: LossWithAux,
    params: Tensors,
    rates: Rates,
    num_steps: int,
) -> tuple[Tensors, Any]:
    """Derivative of the query loss after ``num_steps`` with respect to all of ``params``.

    Returns the gradient and the auxiliary output of ``query_loss`` at the adapted parameters.
    """
    if form == "unrolled":
        return _unrolled(support_loss, query_loss, params, rates, num_steps)
    trajectory = descend(support_loss, params, rates, num_steps)
    gradient, aux = grad(query_loss, has_aux=True)(trajectory[-1])
    if form == "recursion":
        for at in reversed(trajectory[:-1]):
            gradient = _pull_back(support_loss, at, rates, gradient)
    return gradient, aux


def _unrolled(
    support_loss: Loss, query_loss: LossWithAux, params: Tensors, rates: Rates, num_steps: int
) -> tuple[Tensors, Any]:
    def after_adaptation(start: Tensors) -> tuple[Tensor, Any]:
        return query_loss(descend(support_loss, start, rates, num_steps)[-1])

    gradient, aux = grad(after_adaptation, has_aux=True)(params)
    return gradient, aux


def _pull_back(support_loss: Loss, at: Tensors, rates: Rates, v: Tensors) -> Tensors:
    """One step of the recursion: ``v - H (a * v)``, H the Hessian of the support loss."""
    adapted = {name: at[name] for name in rates}
    tangent = {name: rates[name] * v[name] for name in rates}
    curvature = jvp(lambda part: grad(support_loss)(at | part), (adapted,), (tangent,))[1]
    return {name: v[name] - curvature[name] for name in v}
