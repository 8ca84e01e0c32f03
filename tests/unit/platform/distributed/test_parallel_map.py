"""A small data set does not pay for starting Ray."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from metaray.algorithms.tasks.content import ImageClass
from metaray.algorithms.tasks.parts import Chunk
from metaray.platform.distributed.parallel_map import RAY_FROM, decoder


@dataclass
class Numbered:
    """A class that says how many images it has."""

    num_images: int

    def load(self) -> ImageClass:
        return ImageClass("", "", np.zeros((1, 3, 8, 8), np.uint8))


@pytest.mark.parametrize(
    ("workers", "images", "chunks"), [(0, RAY_FROM, 9), (1, RAY_FROM, 9), (8, RAY_FROM // 9 - 1, 9)]
)
def test_what_is_decoded_here(
    workers: int, images: int, chunks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr("metaray.cluster.connect.connected", start)
    parts = [Chunk(Path(str(i)), [Numbered(images)]) for i in range(chunks)]
    done = decoder(workers)(lambda chunk: int(chunk.path.name), parts)
    assert list(done) == list(range(chunks))


def test_a_large_set_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object) -> None:
        raise RuntimeError("Ray was started")

    monkeypatch.setattr("metaray.cluster.connect.connected", start)
    parts = [Chunk(Path(str(i)), [Numbered(RAY_FROM)]) for i in range(2)]
    with pytest.raises(RuntimeError, match="Ray was started"):
        list(decoder(2)(lambda chunk: 1, parts))
