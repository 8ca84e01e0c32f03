"""Files of small images, of noise in which each of three classes is brighter somewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_images(folder: Path, *, colour: bool = False) -> list[str]:
    """60 for training and 30 to test, of 16 x 16 pixels; settings that name them.

    Classes differ by their mean, or where ``colour`` by the channel that is bright.
    """
    rng = np.random.default_rng(0)
    for part, count in (("train", 60), ("test", 30)):
        labels = np.arange(count) % 3
        shape = (count, 16, 16, 3) if colour else (count, 16, 16)
        images = rng.integers(0, 150, shape, dtype=np.uint8)
        if colour:
            images[np.arange(count), :, :, labels] += 80
        else:
            images += (40 * labels).astype(np.uint8)[:, None, None]
        np.savez(folder / f"{part}.npz", images=images, labels=labels)
    return [
        "data.name=arrays",
        f"data.root={folder}/*.npz",
        f"data.cache={folder / 'cache'}",
        "data.image_size=16",
    ]
