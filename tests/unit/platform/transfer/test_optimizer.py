"""The optimizer on a flat vector, and the course of the learning rate."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from metaray.algorithms.parameters import Layout
from metaray.platform.config.transfer import TransferTrainConfig
from metaray.platform.training.schedule import transfer_schedule
from metaray.platform.training.transfer.optimizer import FlatOptimizer

LAYOUT = Layout((("w", (2, 2)), ("b", (2,))))


class AllDecay:
    def decays(self, name: str) -> bool:
        return True


def optimizer(flat: Tensor, **settings: Any) -> FlatOptimizer:
    objective: Any = AllDecay()
    return FlatOptimizer(flat, LAYOUT, objective, TransferTrainConfig(**settings))


def test_weights_decay_and_biases_do_not() -> None:
    flat = torch.ones(6, dtype=torch.float64)
    optimizer(flat, weight_decay=0.5, momentum=0.0).step(torch.zeros_like(flat), 0.1, {})
    assert flat.tolist() == [0.95] * 4 + [1.0] * 2


def test_factors_scale_the_rate_of_each_parameter() -> None:
    flat = torch.zeros(6, dtype=torch.float64)
    gradient = torch.ones_like(flat)
    optimizer(flat, weight_decay=0.0, momentum=0.0).step(gradient, 1.0, {"w": 0.5})
    assert flat.tolist() == [-0.5] * 4 + [-1.0] * 2


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw", "lars"])
def test_what_is_frozen_stays_and_keeps_its_momentum(kind: str) -> None:
    flat = torch.linspace(1, 2, 6, dtype=torch.float64)
    own = optimizer(flat, optimizer=kind, weight_decay=0.1)
    own.step(torch.ones_like(flat), 0.1, {})
    before, slots = flat.clone(), own.slots()
    own.step(torch.full_like(flat, 3.0), 0.1, {"w": 0.0})
    assert torch.equal(flat[:4], before[:4])
    assert not torch.equal(flat[4:], before[4:])
    after = own.slots()
    kept = [name for name in slots if name.endswith(".w")]
    assert kept
    assert all(torch.equal(slots[name], after[name]) for name in kept)


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw", "lars"])
def test_it_goes_on_from_its_slots(kind: str) -> None:
    gradients = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole = torch.ones(6, dtype=torch.float64)
    first = optimizer(whole, optimizer=kind)
    for gradient in gradients[:2]:
        first.step(gradient.clone(), 0.1, {})
    rest = whole.clone()
    second = optimizer(rest, optimizer=kind)
    second.load(first.slots())
    for gradient in gradients[2:]:
        first.step(gradient.clone(), 0.1, {})
        second.step(gradient.clone(), 0.1, {})
    assert torch.equal(whole, rest)


def rates(steps: int = 100, **settings: Any) -> list[float]:
    train = TransferTrainConfig(lr=1.0, **settings)
    return [transfer_schedule(train, steps).at(step) for step in range(steps)]


def test_the_rate_rises_and_falls() -> None:
    warm = rates(schedule="cosine", warmup=0.1)
    assert warm[:10] == sorted(warm[:10])
    assert warm[10] == 1.0
    assert warm[10:] == sorted(warm[10:], reverse=True)
    assert warm[55] == pytest.approx(0.5)
    assert set(rates(schedule="constant")) == {1.0}


def test_the_published_schedule_of_dann() -> None:
    assert rates(schedule="dann")[50] == pytest.approx(1 / (1 + 10 * 0.5) ** 0.75)


def test_steps_reduce_at_their_shares() -> None:
    steps = rates(schedule="step", lr_steps=(0.5, 0.75), lr_step_factor=0.1)
    assert [steps[i] for i in (0, 49, 50, 74, 75)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
