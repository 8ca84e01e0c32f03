"""Nodes that are about to end are asked for only where Ray's head can answer."""

from __future__ import annotations

import pytest

from metaray.platform.distributed import draining


def test_a_head_that_is_away_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The question would wait until Ray gives up, a minute later."""
    head = iter([True, False, True])
    answers = iter([frozenset(["one"]), frozenset(["two"])])
    monkeypatch.setattr(draining, "_EVERY_S", 0.0)
    monkeypatch.setattr(draining, "check_ray_now", lambda: next(head))
    monkeypatch.setattr(draining, "_draining", lambda: next(answers))
    nodes = draining.DrainingNodes()
    assert [nodes.ids for _ in range(3)] == [{"one"}, {"one"}, {"two"}]
