"""An embedding by several processes: the same bits as in one."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Command, arguments  # type: ignore[attr-defined]
from shared_ray import RAY

pytestmark = pytest.mark.ray


def test_two_processes_give_the_bits_of_one(
    metaray: Command, tiny: list[str], tmp_path: Path
) -> None:
    RAY.begin()
    sets = [*tiny, "train.outer_steps=0", "evaluate.num_episodes=2", "method.name=protonet"]
    assert metaray("train", "--out", tmp_path / "run", *arguments(sets)).returncode == 0
    images = arguments([item for item in tiny if item.startswith(("data.cache", "data.num"))])
    for workers in (0, 2):
        result = metaray(
            "embed", tmp_path / "run", "--data", "glyphs", *images,
            "--out", tmp_path / f"features{workers}", "--workers", workers,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert "embedding glyphs: 4000 of 4000 images" in result.stderr
    one, two = ((tmp_path / f"features{n}" / "features.arrow").read_bytes() for n in (0, 2))
    assert one == two
