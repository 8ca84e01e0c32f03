"""Implicit MAML against the gradient through many steps, and its linear solver."""

from __future__ import annotations

import pytest
import torch
from fixtures import WAYS, algorithm_for, assert_same, episode, state_of, wave
from pydantic import ValidationError
from torch.func import grad

from metaray.algorithms.implicit import Proximal, implicit_gradient
from metaray.algorithms.inner_loop import AutogradLoss
from metaray.algorithms.methods.imaml import ImplicitMAML
from metaray.algorithms.methods.imaml_config import ImplicitMAMLConfig
from metaray.algorithms.methods.maml_config import FOMAMLConfig
from metaray.algorithms.models.norm import is_norm
from metaray.algorithms.parameters import Tensors

QUADRATIC = torch.tensor([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]]).double()
MIXED = torch.tensor([0.3, -0.2, 0.7]).double()


def inner_loss(at: Tensors) -> torch.Tensor:
    phi = torch.cat([at["a"], at["b"]])
    return 0.5 * phi @ QUADRATIC @ phi + (MIXED @ phi) * at["still"]


def test_the_gradient_of_a_quadratic_is_that_of_its_minimum() -> None:
    """The minimum is known: (Q + lambda)^-1 (lambda theta - m psi)."""
    strength = 0.8
    theta = {"a": torch.tensor([1.0, -2.0]).double(), "b": torch.tensor([0.5]).double()}
    psi = {"still": torch.tensor(1.5).double()}

    def minimum(params: Tensors) -> Tensors:
        start = torch.cat([params["a"], params["b"]])
        right = strength * start - MIXED * params["still"]
        phi = torch.linalg.solve(QUADRATIC + strength * torch.eye(3).double(), right)
        return {"a": phi[:2], "b": phi[2:], "still": params["still"]}

    def query(at: Tensors) -> torch.Tensor:
        return (at["a"] ** 3).sum() + at["b"].sum() * at["still"] ** 2

    expected = grad(lambda params: query(minimum(params)))(theta | psi)
    at = minimum(theta | psi)
    objective = Proximal(AutogradLoss(inner_loss), theta, ["a", "b"], strength)
    found = implicit_gradient(objective, at, grad(query)(at), ["a", "b"], strength, cg_steps=3)
    assert_same(found, expected, relative=1e-9)


def test_a_direction_without_a_minimum_ends_the_solution_before_it() -> None:
    def saddle(at: Tensors) -> torch.Tensor:
        return -2 * at["a"].square().sum()

    theta = {"a": torch.tensor([1.0, 2.0]).double()}
    objective = Proximal(AutogradLoss(saddle), theta, ["a"], 0.5)
    slope = {"a": torch.tensor([0.3, -0.4]).double()}
    assert_same(implicit_gradient(objective, theta, slope, ["a"], 0.5, cg_steps=4), slope)


def test_many_steps_lead_to_the_gradient_through_them() -> None:
    """With an inner problem that is solved, the steps' own derivative is the implicit one."""
    config = ImplicitMAMLConfig(inner_lr=0.05, inner_steps=100, proximal=20.0, cg_steps=40)
    algorithm = algorithm_for(config, model="mlp", kind="regression")
    assert isinstance(algorithm, ImplicitMAML)
    state, task = state_of(algorithm), wave()
    found = algorithm.task_gradient(state, task, 1).gradient

    def through_the_steps(params: Tensors) -> torch.Tensor:
        at = params
        for _ in range(config.inner_steps):

            def pulled(moving: Tensors) -> torch.Tensor:
                pull = [(moving[n] - params[n]).square().sum() for n in params if not is_norm(n)]
                loss = algorithm.support_loss(moving, task.support_x, task.support_y)
                return loss + 0.5 * config.proximal * torch.stack(pull).sum()

            slope = grad(pulled)(at)
            at = {n: p if is_norm(n) else p - config.inner_lr * slope[n] for n, p in at.items()}
        return algorithm.query_metrics(at, task, "transductive")["loss"]

    assert_same(found, grad(through_the_steps)(state.params), relative=1e-5)


def test_a_strong_pull_is_first_order_maml() -> None:
    """Nothing moves, so the gradient is that of the query loss at the initialisation."""
    strong = ImplicitMAMLConfig(inner_lr=1e-16, inner_steps=2, proximal=1e15, cg_steps=2)
    implicit, plain = algorithm_for(strong), algorithm_for(FOMAMLConfig(inner_steps=0))
    state, task = state_of(implicit), episode()
    found = implicit.task_gradient(state, task, WAYS).gradient
    expected = plain.task_gradient(state, task, WAYS).gradient
    assert_same(found, expected, relative=1e-5)


def test_settings_that_diverge_are_refused() -> None:
    with pytest.raises(ValidationError, match="inner_lr times proximal is 2.5"):
        ImplicitMAMLConfig(inner_lr=0.5, proximal=5.0)
