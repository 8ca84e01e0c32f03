"""Glyphs: the same on any machine, distinct, and neither trivial nor hopeless to tell apart."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from metaray.algorithms.configs import DataConfig
from metaray.algorithms.tasks.content import ImageClass
from metaray.algorithms.tasks.glyphs import Glyphs, draw_glyph

NUM_CLASSES = 120


def glyph_classes(num_classes: int, image_size: int) -> list[ImageClass]:
    data = DataConfig(num_classes=num_classes, image_size=image_size)
    with Glyphs().open_classes(Path(), data, Path()) as classes:
        return [one.load() for one in classes]


@pytest.fixture(scope="module")
def drawings() -> NDArray[np.uint8]:
    return np.stack([item.images[:, 0] for item in glyph_classes(NUM_CLASSES, 28)])


def test_pixels_are_pinned() -> None:
    """A change here changes everyone's data: raise glyphs.VERSION with it."""
    digest = hashlib.sha256(b"".join(draw_glyph(c, 28).tobytes() for c in (0, 7, 333)))
    assert digest.hexdigest() == "73eac53f029ffb83b01bd15b4819d5f2928ad53eaf22fa92173654b82165047c"


def test_a_glyph_does_not_depend_on_how_many_there_are(drawings: NDArray[np.uint8]) -> None:
    few = glyph_classes(3, 28)
    assert [item.name for item in few] == [f"script0000/glyph0{c}" for c in range(3)]
    for c, item in enumerate(few):
        np.testing.assert_array_equal(item.images[:, 0], drawings[c])


def test_scripts_are_groups_of_25() -> None:
    groups = [item.group for item in glyph_classes(51, 8)]
    assert groups == ["script0000"] * 25 + ["script0001"] * 25 + ["script0002"]


def test_no_drawing_occurs_twice(drawings: NDArray[np.uint8]) -> None:
    assert len({d.tobytes() for d in drawings.reshape(-1, 28 * 28)}) == NUM_CLASSES * 20


def test_ink_is_high_sparse_and_inside(drawings: NDArray[np.uint8]) -> None:
    ink = drawings / 255
    assert 0.05 < ink.mean() < 0.14
    per_drawing = ink.sum(axis=(2, 3))
    assert per_drawing.min() > 8  # no blank paper
    border = np.concatenate([ink[..., [0, -1], :].ravel(), ink[..., [0, -1]].ravel()])
    assert border.mean() < 0.02
    assert ink.max(axis=(2, 3)).min() > 0.9


@pytest.mark.parametrize("size", [14, 28, 56])
def test_size_changes_resolution_not_the_character(size: int) -> None:
    small = draw_glyph(5, 14).astype(float)
    image = draw_glyph(5, size).astype(float)
    assert image.shape == (20, 1, size, size)
    factor = size // 14
    reduced = image.reshape(20, 1, 14, factor, 14, factor).mean(axis=(3, 5))
    same = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(reduced, small, strict=True)]
    assert min(same) > 0.9


def test_nearest_neighbour_in_pixels_is_neither_chance_nor_perfect(
    drawings: NDArray[np.uint8],
) -> None:
    """5-way 1-shot: chance is 20 %, real Omniglot gives 44 % and these glyphs about 59 %."""
    rng = np.random.default_rng(0)
    flat = drawings.reshape(NUM_CLASSES, 20, -1) / 255
    correct = []
    for _ in range(300):
        ways = rng.choice(NUM_CLASSES, 5, replace=False)
        query = flat[ways, 1:6].reshape(25, 1, -1)
        nearest = ((query - flat[ways, 0]) ** 2).sum(-1).argmin(1)
        correct.append((nearest == np.repeat(np.arange(5), 5)).mean())
    assert 0.50 < np.mean(correct) < 0.70


def test_scripts_differ_in_style(drawings: NDArray[np.uint8]) -> None:
    """Amount of ink, as one sign of style, varies more between scripts than by chance."""
    ink = drawings[:100].mean(axis=(1, 2, 3)).reshape(4, 25)
    within = ink.var(axis=1, ddof=1).mean() / 25
    assert ink.mean(axis=1).var(ddof=1) > 2 * within
