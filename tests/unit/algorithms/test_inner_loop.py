"""Meta-gradients against closed forms, against each other and against finite differences."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import grad

from metaray.algorithms.inner_loop import (
    Form,
    InnerStep,
    LossWithAux,
    descend,
    meta_gradient,
    unroll,
)

FORMS: tuple[Form, ...] = ("unrolled", "recursion")
RATE = 0.1


def quadratic(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    return root @ root.T, torch.randn(4, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
@pytest.mark.parametrize("form", FORMS)
def test_quadratic_has_the_closed_form(form: Form, steps: int) -> None:
    hessian, offset = quadratic(1)
    query_hessian, _ = quadratic(2)
    start = {"w": torch.arange(1.0, 5.0, dtype=torch.float64)}

    def support(p: dict[str, Tensor]) -> Tensor:
        return p["w"] @ hessian @ p["w"] / 2 - offset @ p["w"]

    def query(p: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return p["w"] @ query_hessian @ p["w"] / 2, p["w"]

    path = [InnerStep(support, {"w": RATE})] * steps
    gradient = meta_gradient(form, path, {steps: query}, start).gradient
    adapted = descend(support, start, {"w": RATE}, steps)[-1]["w"]
    contraction = torch.linalg.matrix_power(torch.eye(4).double() - RATE * hessian, steps)
    torch.testing.assert_close(gradient["w"], contraction @ (query_hessian @ adapted))


def smooth_support(p: dict[str, Tensor]) -> Tensor:
    x = torch.linspace(-1, 1, 7, dtype=torch.float64)[:, None]
    hidden = torch.tanh(x @ p["body"] + p["shift"])
    return ((hidden @ p["head"]).squeeze(-1) - torch.sin(3 * x.squeeze(-1))).square().mean()


def smooth_query(p: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    x = torch.linspace(-0.9, 1.1, 5, dtype=torch.float64)[:, None]
    hidden = torch.tanh(x @ p["body"] + p["shift"])
    loss = ((hidden @ p["head"]).squeeze(-1) - torch.sin(3 * x.squeeze(-1))).square().mean()
    return loss, 2 * loss


def smooth_params() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = {"body": (1, 6), "shift": (6,), "head": (6, 1)}
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("adapted", [("body", "shift", "head"), ("head",), ("body", "head")])
@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize("form", FORMS)
def test_every_component_equals_central_differences(
    form: Form, steps: int, adapted: tuple[str, ...]
) -> None:
    """Also with parameters that the inner loop leaves alone."""
    rates = dict.fromkeys(adapted, 0.2)
    params = smooth_params()
    path = [InnerStep(smooth_support, rates)] * steps
    gradient, aux, _ = meta_gradient(form, path, {steps: smooth_query}, params)

    def objective(at: dict[str, Tensor]) -> float:
        return float(smooth_query(descend(smooth_support, at, rates, steps)[-1])[0])

    assert float(aux[steps]) == pytest.approx(2 * objective(params), rel=1e-12)
    assert_central_differences(gradient, params, objective)


def assert_central_differences(
    gradient: dict[str, Tensor],
    params: dict[str, Tensor],
    objective: Callable[[dict[str, Tensor]], float],
) -> None:
    h = 1e-5
    for name, value in params.items():
        for i in range(value.numel()):
            nudge = torch.zeros_like(value)
            nudge.view(-1)[i] = h
            up, down = params | {name: value + nudge}, params | {name: value - nudge}
            expected = (objective(up) - objective(down)) / (2 * h)
            assert float(gradient[name].view(-1)[i]) == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_first_order_is_the_query_gradient_at_the_adapted_weights() -> None:
    params, rates = smooth_params(), dict.fromkeys(("body", "shift", "head"), 0.2)
    path = [InnerStep(smooth_support, rates)] * 3
    first_order = meta_gradient("first_order", path, {3: smooth_query}, params).gradient
    at = descend(smooth_support, params, rates, 3)[-1]
    leaves = {name: value.clone().requires_grad_() for name, value in at.items()}
    smooth_query(leaves)[0].backward()
    exact = meta_gradient("unrolled", path, {3: smooth_query}, params).gradient
    for name in params:
        torch.testing.assert_close(first_order[name], leaves[name].grad)
        assert not torch.allclose(first_order[name], exact[name], rtol=1e-3)


def test_first_order_is_exact_where_the_support_loss_has_no_curvature() -> None:
    params, rates = smooth_params(), dict.fromkeys(("body", "shift", "head"), 0.2)

    def straight(p: dict[str, Tensor]) -> Tensor:
        return sum((p[name].sum() for name in p), torch.zeros(()))

    first_order, exact = (
        meta_gradient(form, [InnerStep(straight, rates)] * 3, {3: smooth_query}, params).gradient
        for form in ("first_order", "recursion")
    )
    for name in params:
        torch.testing.assert_close(first_order[name], exact[name])


def test_descend_is_plain_gradient_descent_and_mutates_nothing() -> None:
    params = smooth_params()
    before = {name: value.clone() for name, value in params.items()}
    trajectory = descend(smooth_support, params, {"head": 0.2}, 3)
    leaf = params["head"].clone().requires_grad_()
    optimizer = torch.optim.SGD([leaf], lr=0.2)
    for expected_step in range(4):
        torch.testing.assert_close(trajectory[expected_step]["head"], leaf.detach())
        optimizer.zero_grad()
        smooth_support(params | {"head": leaf}).backward()
        optimizer.step()
    assert torch.equal(trajectory[3]["body"], before["body"])
    assert all(torch.equal(params[name], before[name]) for name in params)


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize("form", FORMS)
def test_learned_rates_and_intermediate_losses_equal_central_differences(
    form: Form, steps: int
) -> None:
    """An elementwise rate that all steps share, a scalar of each step, and a number."""
    params = smooth_params() | {"rate.body": torch.linspace(-0.1, 0.3, 6).double()[None]}
    params |= {f"rate.{k}.head": torch.tensor(0.1 + 0.05 * k).double() for k in range(steps)}
    path = [
        InnerStep(smooth_support, {"body": "rate.body", "head": f"rate.{k}.head", "shift": 0.2})
        for k in range(steps)
    ]
    queries = {k: weighted_query(k + 1.0) for k in {0, steps // 2, steps}}
    gradient, aux, trajectory = meta_gradient(form, path, queries, params)

    def objective(at: dict[str, Tensor]) -> float:
        reached = unroll(path, at)
        return sum(float(query(reached[k])[0]) for k, query in queries.items())

    assert sum(map(float, aux.values())) == pytest.approx(objective(params), rel=1e-12)
    for reached, expected in zip(trajectory, unroll(path, params), strict=True):
        assert all(torch.equal(reached[name], expected[name]) for name in params)
    assert_central_differences(gradient, params, objective)


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_forms_agree_on_learned_rates_to_rounding(steps: int) -> None:
    params = smooth_params() | {"rate": torch.full((6,), 0.2, dtype=torch.float64)}
    path = [InnerStep(smooth_support, {"shift": "rate", "head": 0.2})] * steps
    queries = {k: weighted_query(0.5) for k in range(steps + 1)}
    one, other = (meta_gradient(form, path, queries, params).gradient for form in FORMS)
    for name in params:
        torch.testing.assert_close(one[name], other[name], rtol=1e-12, atol=1e-14)


def test_first_order_learns_rates_from_constant_inner_gradients() -> None:
    """The objective is then linear in each step: ``- <dQ, dL_k>`` for the rate of step k."""
    params = smooth_params() | {f"rate.{k}": torch.tensor(0.2).double() for k in range(2)}
    path = [InnerStep(smooth_support, {"head": f"rate.{k}"}) for k in range(2)]
    gradient, _, trajectory = meta_gradient("first_order", path, {2: smooth_query}, params)
    v = grad(lambda p: smooth_query(p)[0])(trajectory[2])["head"]
    for k in range(2):
        inner = grad(smooth_support)(trajectory[k])["head"]
        torch.testing.assert_close(gradient[f"rate.{k}"], -(v * inner).sum())
    torch.testing.assert_close(gradient["head"], v)


def weighted_query(weight: float) -> LossWithAux:
    def query(params: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        loss = weight * smooth_query(params)[0]
        return loss, loss

    return query
