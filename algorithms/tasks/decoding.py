"""Decoding an image file with Pillow: its size is checked first, and damage is one sentence."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from metaray.algorithms.reading import refusing_damage
from metaray.algorithms.tasks.limits import ReadLimits


def decode(
    data: bytes,
    name: str,
    limits: ReadLimits,
    convert: Callable[[Image.Image], Image.Image],
    remedy: str,
) -> Image.Image:
    """What ``convert`` makes of the image in ``data``; it must have read all pixels then.

    Raises:
        InputError: it is damaged, of an unknown format, or has too many pixels.
    """
    problem = f"{name} is not an image that can be decoded"
    with refusing_damage(problem, remedy), _without_limit_of_pillow():
        try:
            image = Image.open(io.BytesIO(data))
        except UnidentifiedImageError:  # it names the buffer
            raise ValueError("its format is unknown") from None
        with image:
            limits.check_pixels(image.size, name)
            return convert(image)


@contextmanager
def _without_limit_of_pillow() -> Iterator[None]:
    """Pillow has a limit too, which warns, and fails at twice its value: ours takes its place."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
