"""The image of an episode: everything in it, each in its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metaray.algorithms.episode import Episode
from metaray.algorithms.errors import InputError
from metaray.platform.report.contact_sheet import draw_episode

pytestmark = pytest.mark.drawn


def episode(channels: int = 1) -> Episode:
    """Two classes: support of class 1 before that of class 0; class 0 is empty, class 1 inked."""
    support = torch.zeros(2, channels, 8, 8)
    query = torch.zeros(4, channels, 8, 8)
    support[0], query[1:3] = 1.0, 1.0
    return Episode(support, torch.tensor([1, 0]), query, torch.tensor([0, 1, 1, 0]))


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("L")).astype(float)


def test_images_stand_in_the_row_of_their_class(tmp_path: Path) -> None:
    draw_episode(episode(), ["empty", "inked"], tmp_path / "deep" / "sheet.png")
    dark = read(tmp_path / "deep" / "sheet.png") < 30
    rows = np.flatnonzero(dark.mean(axis=1) > 0.3)
    assert len(rows) > 20
    assert rows.min() > dark.shape[0] * 0.5  # all ink is in the lower row, that of class 1


def test_names_are_written(tmp_path: Path) -> None:
    draw_episode(episode(), ["a", "b"], tmp_path / "short.png")
    draw_episode(episode(), ["a name that takes much room", "b"], tmp_path / "long.png")
    assert not np.array_equal(read(tmp_path / "short.png"), read(tmp_path / "long.png"))


def test_colour_images_keep_their_colour(tmp_path: Path) -> None:
    red = episode(channels=3)
    red.support_x[0, 1:] = 0
    draw_episode(red, ["a", "b"], tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert (pixels == [255, 0, 0]).all(axis=1).mean() > 0.01


def test_regression_is_drawn_as_points(tmp_path: Path) -> None:
    x = torch.linspace(-5, 5, 9)[:, None]
    draw_episode(Episode(x[::2], x[::2].sin(), x, x.sin()), ["y = sin(x)"], tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3).astype(int)
    blue = (np.abs(pixels - [0x1F, 0x6F, 0xB4]) < 3).all(axis=1)
    assert blue.sum() > 5 * 30


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write the image"):
        draw_episode(episode(), ["a", "b"], tmp_path / "file" / "sheet.png")
