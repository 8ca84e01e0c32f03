"""Drawings of circles, crosses and bars as a user has them."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw


def drawing(shape: str, seed: int, size: int = 60) -> Image.Image:
    """Dark ink on white paper."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (size, size), "white")
    ink, (x, y) = ImageDraw.Draw(image), rng.integers(-4, 5, 2)
    low, high = 12, size - 12
    if shape == "circle":
        ink.ellipse((low + x, low + y, high + x, high + y), outline="black", width=5)
    else:
        ink.line((low + x, size // 2 + y, high + x, size // 2 + y), fill="black", width=5)
    if shape == "cross":
        ink.line((size // 2 + x, low + y, size // 2 + x, high + y), fill="black", width=5)
    return image
