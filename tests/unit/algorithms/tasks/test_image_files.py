"""Image files of every kind as pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from metaray.algorithms.tasks.file_tree import FolderTree
from metaray.algorithms.tasks.image_files import ImageFileClass

SIZE = 16


def decoded(path: Path) -> NDArray[np.uint8]:
    """The grey values of an image file, ``[SIZE, SIZE]``."""
    files = FolderTree(path.parent)
    one = ImageFileClass(name="a", group="", files=files, paths=[path.name], image_size=SIZE)
    image = one.load().images[0]
    assert (image == image[:1]).all()  # grey
    return image[0]


def drawing(ink: int) -> Image.Image:
    """A disc of ``ink`` on a transparent ground, whose hidden colour is the ink's."""
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2 + 0.5
    alpha = np.where(x**2 + y**2 < 25, 255, 0).astype(np.uint8)
    return Image.fromarray(np.stack([np.full_like(alpha, ink), alpha], axis=-1), "LA")


@pytest.mark.parametrize("kind", ["RGBA.png", "LA.png", "P.png", "P.gif", "RGBA.webp"])
@pytest.mark.parametrize(("ink", "ground"), [(0, 255), (100, 255), (220, 255), (255, 0)])
def test_transparent_images_have_a_ground_that_shows_the_ink(
    kind: str, ink: int, ground: int, tmp_path: Path
) -> None:
    mode, _, suffix = kind.partition(".")
    path = tmp_path / f"a.{suffix}"
    image = drawing(ink)
    settings: dict[str, int] = {"lossless": 1, "exact": 1} if suffix == "webp" else {}
    if mode == "P":
        visible = image.getchannel("A").point(lambda value: value // 255)
        image = Image.frombytes("P", image.size, visible.tobytes())
        image.putpalette([ink] * 6)
        settings = {"transparency": 0}
    image.convert(mode).save(path, **settings)
    pixels = decoded(path).astype(int)
    assert abs(pixels[0, 0] - ground) <= 1
    assert abs(pixels[SIZE // 2, SIZE // 2] - ink) <= 1


def test_half_transparent_ink_is_mixed_with_the_ground(tmp_path: Path) -> None:
    Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 51)).save(tmp_path / "a.png")
    assert decoded(tmp_path / "a.png")[3, 3] == 204


def test_an_empty_transparent_image_is_white(tmp_path: Path) -> None:
    Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert (decoded(tmp_path / "a.png") == 255).all()


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("scale", [1, 257])
def test_16_bits_that_hold_8_and_16_bits_that_hold_16(
    scale: int, suffix: str, tmp_path: Path
) -> None:
    grey = np.arange(SIZE * SIZE, dtype=np.uint16).reshape(SIZE, SIZE)
    Image.fromarray(grey * scale).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(decoded(tmp_path / f"a.{suffix}"), grey)


@pytest.mark.parametrize("scale", [1, 257])
def test_a_tiff_whose_white_is_zero_is_not_inverted(scale: int, tmp_path: Path) -> None:
    grey = np.arange(SIZE * SIZE, dtype=np.uint16).reshape(SIZE, SIZE)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[262] = 0
    stored = (255 * scale - grey * scale).astype(np.uint16)
    Image.fromarray(stored).save(tmp_path / "a.tiff", tiffinfo=tags)
    with Image.open(tmp_path / "a.tiff") as image:
        if image.tag_v2[262] != 0:  # type: ignore[attr-defined]
            content = bytearray((tmp_path / "a.tiff").read_bytes())
            at = content.index(b"\x06\x01\x03\x00\x01\x00\x00\x00\x01")
            content[at + 8] = 0
            (tmp_path / "a.tiff").write_bytes(content)
    np.testing.assert_array_equal(decoded(tmp_path / "a.tiff"), grey)
