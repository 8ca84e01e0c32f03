"""What holds in every test of an objective."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _global_generator_stays() -> Iterator[None]:
    """Nothing in an objective may draw from torch's global generator, or leave it moved."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(before, torch.get_rng_state())
