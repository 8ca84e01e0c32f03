"""Short runs without plots."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _nothing_drawn(nothing_drawn: None) -> None:
    """In every test of this folder."""
