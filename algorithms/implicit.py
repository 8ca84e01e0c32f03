r"""The meta-gradient through the solution of an inner problem, not through the steps towards it.

Rajeswaran, Finn, Kakade & Levine, "Meta-Learning with Implicit Gradients", NeurIPS 2019 (arXiv
1909.04630), equations 3 to 7. The inner problem pulls the adapted parameters to where they start::

    phi(theta, psi) = argmin  L(phi, psi) + lambda / 2 |phi - theta|^2

``psi`` are parameters that no inner step changes. At its solution the implicit function theorem
gives, with H the Hessian of L and Q the query loss::

    (H + lambda) w = dQ/dphi        dQ/dtheta = lambda w        dQ/dpsi - (d^2 L / dpsi dphi) w

The linear system is solved by conjugate gradients, which need products with H alone, so neither
memory nor the gradient depends on how the inner problem was solved. Where the Hessian is not
positive along a direction, the solution before it is kept; before the first, ``dQ/dphi / lambda``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from metaray.algorithms.inner_loop import Objective, widened
from metaray.algorithms.parameters import Tensors


class Proximal(Objective):
    """An objective, and half of ``strength`` times the squared distance of ``names`` to ``start``.

    Args:
        objective: without that pull.
        start: what ``names`` are pulled to.
        names: the parameters that are pulled; no other may be adapted.
        strength: lambda.
    """

    def __init__(
        self, objective: Objective, start: Tensors, names: Sequence[str], strength: float
    ) -> None:
        self._objective = objective
        self._start = start
        self._names = names
        self._strength = strength

    @override
    def gradient(self, at: Tensors, names: Sequence[str]) -> tuple[Tensors, Any]:
        gradient, tape = self._objective.gradient(at, names)
        return self._pulled(gradient, at), tape

    @override
    def curvature(self, at: Tensors, tape: Any, along: Tensors) -> tuple[Tensors, Tensors]:
        gradient, curved = self._objective.curvature(at, tape, along)
        pull = {name: curved[name] + self._strength * along[name] for name in along}
        return self._pulled(gradient, at), curved | pull

    def _pulled(self, gradient: Tensors, at: Tensors) -> Tensors:
        pull = {name: self._strength * (at[name] - self._start[name]) for name in self._names}
        return gradient | {name: gradient[name] + moved for name, moved in pull.items()}


def implicit_gradient(
    objective: Proximal,
    at: Tensors,
    slope: Tensors,
    names: Sequence[str],
    strength: float,
    cg_steps: int,
    batched: bool = False,
) -> Tensors:
    """The derivative of a query loss with respect to where adaptation starts, and to all else.

    Args:
        objective: of the inner problem.
        at: its solution, with the parameters that are not adapted.
        slope: the derivative of the query loss at ``at``.
        names: the adapted parameters.
        strength: lambda.
        cg_steps: of conjugate gradients, at least 1.
        batched: every tensor has a leading task axis.
    """
    _, tape = objective.gradient(at, names)

    def product(v: Tensors) -> Tensors:
        return objective.curvature(at, tape, v)[1]

    solved, curved = _solved(product, {n: slope[n] for n in names}, strength, cg_steps, batched)
    still = {name: slope[name] for name in slope if name not in solved}
    mixed = {name: value - curved[name] for name, value in still.items() if name in curved}
    return still | mixed | {name: strength * w for name, w in solved.items()}


def _solved(
    product: Callable[[Tensors], Tensors],
    b: Tensors,
    strength: float,
    steps: int,
    batched: bool,
) -> tuple[Tensors, Tensors]:
    """``x`` where ``product(x)`` is ``b``, by conjugate gradients from zero; and its product."""
    x: Tensors = {}
    image: Tensors = {}
    r, p = b, b
    squared = _dot(r, r, batched)
    going = torch.ones_like(squared, dtype=torch.bool)
    for step in range(steps):
        moved = product(p)
        curvature = _dot(p, moved, batched)
        going = going & (curvature > 0)
        size = torch.where(going, squared / curvature, 0.0)
        along = torch.where(going, size, 1 / strength) if step == 0 else size
        x = _added(x, along, p)
        image = _added(image, along, moved)
        r = {name: r[name] - widened(size, r[name]) * moved[name] for name in b}
        before, squared = squared, _dot(r, r, batched)
        again = torch.where(going, squared / before, 0.0)
        p = {name: r[name] + widened(again, p[name]) * p[name] for name in b}
    return x, image


def _added(total: Tensors, size: Tensor, of: Tensors) -> Tensors:
    """``total + size * of``; an empty total is zero."""
    moved = {name: widened(size, value) * value for name, value in of.items()}
    return {name: total[name] + value if total else value for name, value in moved.items()}


def _dot(a: Tensors, b: Tensors, batched: bool) -> Tensor:
    """The scalar product, ``[]``; of each task ``[T]``."""
    axis = 1 if batched else 0
    products = [(a[name] * b[name]).flatten(axis).sum(-1) for name in a]
    return torch.stack(products).sum(0)
