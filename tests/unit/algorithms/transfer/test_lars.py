"""LARS against steps computed by hand."""

from __future__ import annotations

import pytest
import torch
from small_job import noise

from metaray.algorithms.transfer.lars import LARS


def test_two_steps_by_hand() -> None:
    weight, bias = noise(3, 2), noise(3, seed=1)
    lr, momentum, decay, trust = 0.5, 0.9, 0.01, 0.02
    params = [weight.clone().requires_grad_(), bias.clone().requires_grad_()]
    optimizer = LARS(params, lr, momentum, decay, trust)
    expected = [weight.clone(), bias.clone()]
    velocity = [torch.zeros_like(weight), torch.zeros_like(bias)]
    for number in range(2):
        gradients = [noise(3, 2, seed=10 + number), noise(3, seed=20 + number)]
        for p, g in zip(params, gradients, strict=True):
            p.grad = g
        optimizer.step()
        w, g = expected[0], gradients[0]
        size, slope = w.square().sum().sqrt(), g.square().sum().sqrt()
        local = trust * size / (slope + decay * size)
        velocity[0] = momentum * velocity[0] + lr * local * (g + decay * w)
        velocity[1] = momentum * velocity[1] + lr * gradients[1]  # a bias is neither scaled
        expected = [w - velocity[0], expected[1] - velocity[1]]  # nor decayed
    for p, value in zip(params, expected, strict=True):
        torch.testing.assert_close(p.detach(), value)


def test_the_step_of_a_layer_does_not_depend_on_the_scale_of_its_gradient() -> None:
    steps = []
    for scale in (1.0, 1000.0):
        p = noise(3, 2).requires_grad_()
        p.grad = scale * noise(3, 2, seed=1)
        LARS([p], lr=0.5, weight_decay=0.0).step()
        steps.append(p.detach() - noise(3, 2))
    torch.testing.assert_close(steps[0], steps[1])
    assert steps[0].norm().item() == pytest.approx(0.5 * 0.001 * noise(3, 2).norm().item())


def test_zeros_are_not_adapted() -> None:
    p = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    p.grad = noise(3, 2)
    still = noise(3, 2, seed=1).requires_grad_()
    still.grad = torch.zeros(3, 2, dtype=torch.float64)
    LARS([p, still], lr=0.5).step()
    torch.testing.assert_close(p.detach(), -0.5 * noise(3, 2))
    assert torch.equal(still.detach(), noise(3, 2, seed=1))


def test_its_state_can_be_stored_and_taken_up() -> None:
    def gradient(step: int) -> torch.Tensor:
        return noise(3, 2, seed=step)

    whole, cut = noise(3, 2).requires_grad_(), noise(3, 2).requires_grad_()
    optimizers = [LARS([whole], 0.5), LARS([cut], 0.5)]
    for step in range(4):
        if step == 2:
            stored = optimizers[1].state_dict()
            optimizers[1] = LARS([cut], 0.5)
            optimizers[1].load_state_dict(stored)
        for p, optimizer in zip((whole, cut), optimizers, strict=True):
            p.grad = gradient(step)
            optimizer.step()
    assert torch.equal(whole, cut)
