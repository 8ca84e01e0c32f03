"""Torch's optimizers without torch.compile, which is not used here.

The first optimizer of a process and its first step import ``torch._dynamo``, only to keep it away
from what they do: 900 modules, 1.6 to 3 seconds in every process that learns. The methods below
that layer do the same to the bit.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer


class EagerOptimizer(Optimizer):
    """An optimizer whose own ``step`` is all that is left to write."""

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)


def _step_of(kind: type[Optimizer]) -> Callable[..., Any]:
    """The ``step`` of ``kind``, which leaves no trace in gradients."""
    below: Callable[..., Any] = inspect.unwrap(kind.step)

    @torch.no_grad()
    def step(self: Optimizer, closure: Callable[[], float] | None = None) -> Any:
        return below(self, closure)

    return step


class Adam(EagerOptimizer, torch.optim.Adam):
    """As torch has it."""

    step = _step_of(torch.optim.Adam)


class AdamW(EagerOptimizer, torch.optim.AdamW):
    """As torch has it."""

    step = _step_of(torch.optim.AdamW)


class SGD(EagerOptimizer, torch.optim.SGD):
    """As torch has it."""

    step = _step_of(torch.optim.SGD)
