"""Optimizers without torch.compile take the steps of torch's, to the bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from metaray.algorithms import eager_optimizers


def after_six_steps(kind: Any, **settings: float) -> tuple[Tensor, dict[str, Any]]:
    """Parameters and state; the last step is of another instance that took up the state."""
    random = torch.Generator().manual_seed(0)
    param = torch.nn.Parameter(torch.randn(50, generator=random))
    optimizer = kind([param], **settings)
    for step in range(6):
        if step == 5:
            state = optimizer.state_dict()
            optimizer = kind([param], **settings)
            optimizer.load_state_dict(state)
        param.grad = torch.randn(50, generator=random)
        optimizer.step()
    return param.detach(), optimizer.state_dict()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("Adam", {"lr": 0.1}),
        ("AdamW", {"lr": 0.1, "weight_decay": 0.1}),
        ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ],
)
def test_as_torch_has_it(name: str, settings: dict[str, float]) -> None:
    mine, my_state = after_six_steps(getattr(eager_optimizers, name), **settings)
    theirs, their_state = after_six_steps(getattr(torch.optim, name), **settings)
    assert torch.equal(mine, theirs)
    assert not mine.requires_grad
    assert my_state["param_groups"] == their_state["param_groups"]
    slots, others = my_state["state"][0], their_state["state"][0]
    assert slots.keys() == others.keys()
    assert all(torch.equal(slots[slot], others[slot]) for slot in slots)
