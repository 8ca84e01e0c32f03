"""The numbers of torch's own optimizers, to the bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metaray.platform.training import plain_optimizers as plain

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"weight_decay": 0.1}),
    ("AdamW", {"weight_decay": 0.0}),
    ("AdamW", {"weight_decay": 0.1}),
]


def parameters(dtype: torch.dtype) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(37,), (3, 5)]
    return [nn.Parameter(torch.randn(shape, dtype=dtype, generator=generator)) for shape in shapes]


def trained(optimizer: Any, params: list[nn.Parameter]) -> dict[str, Tensor]:
    """Everything after some steps: of another rate each, and one without a gradient."""
    generator = torch.Generator().manual_seed(1)
    for step in range(7):
        for param in params:
            param.grad = torch.randn(param.shape, dtype=param.dtype, generator=generator)
        if step == 3:
            params[0].grad = None
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (1 + step)
        optimizer.step()
    return {f"{i}": param.detach() for i, param in enumerate(params)} | {
        f"{i}.{slot}": value
        for i, param in enumerate(params)
        for slot, value in optimizer.state[param].items()
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_parameters_and_slots_are_those_of_torch(
    name: str, settings: dict[str, Any], dtype: torch.dtype
) -> None:
    mine, theirs = parameters(dtype), parameters(dtype)
    groups = [{"params": [param]} for param in mine]
    found = trained(getattr(plain, name)(groups, lr=0.1, **settings), mine)
    expected = trained(getattr(torch.optim, name)(theirs, lr=0.1, **settings), theirs)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key], value), key


def test_settings_of_a_group_go_before_those_of_all() -> None:
    one, other = parameters(torch.float64)
    groups = [{"params": [one], "lr": 0.0}, {"params": [other]}]
    optimizer = plain.SGD(groups, lr=1.0)
    before = [param.detach().clone() for param in (one, other)]
    for param in (one, other):
        param.grad = torch.ones_like(param)
    optimizer.step()
    assert torch.equal(one, before[0])
    assert torch.equal(other, before[1] - 1)
