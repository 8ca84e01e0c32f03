"""Short runs without plots."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _nothing_drawn(request: pytest.FixtureRequest) -> None:
    """In every test of this folder without the marker ``drawn``."""
    if request.node.get_closest_marker("drawn") is None:
        request.getfixturevalue("nothing_drawn")
