"""Copies of an image that differ as two images of one class might.

For tasks without labels, in which every image is a separate class and its queries are such copies:
UMTRA, Khodadadeh, Boloni & Shah, "Unsupervised Meta-Learning for Few-Shot Image Classification",
NeurIPS 2019 (arXiv 1811.11819), section 3. There, characters are changed by a random affine map and
by setting random pixels to zero. The paper gives no amounts for these; ours are below. Colour
images are also flipped, and change in brightness and contrast, where the paper has the policies of
AutoAugment, which were found with labels.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor

_DEGREES = 15.0
_SCALE = (0.8, 1.2)
_SHEAR = 0.2
_SHIFT = 0.15  # of the side
_ZEROED = 0.1  # of the pixels of a character
_LIGHT = 0.4  # largest relative change of brightness and contrast


def changed_copies(rng: Generator, x: Tensor) -> Tensor:
    """Each of ``x`` ``[n, C, H, W]`` changed at random; characters are those with one channel."""
    n, channels, height, width = x.shape
    is_grey = channels == 1
    padding = "zeros" if is_grey else "reflection"
    maps = torch.from_numpy(_affine_maps(rng, n, flips=not is_grey))
    grid = F.affine_grid(maps, [n, channels, height, width], align_corners=False)
    moved = F.grid_sample(x, grid, padding_mode=padding, align_corners=False)
    if is_grey:
        kept = rng.random((n, 1, height, width), dtype=np.float32) >= _ZEROED
        return moved * torch.from_numpy(kept)
    brightness, contrast = (
        torch.from_numpy(rng.uniform(1 - _LIGHT, 1 + _LIGHT, (n, 1, 1, 1)).astype(np.float32))
        for _ in range(2)
    )
    mean = moved.mean((1, 2, 3), keepdim=True)
    return ((moved - mean) * contrast + mean * brightness).clamp(0, 1)


def _affine_maps(rng: Generator, n: int, flips: bool) -> np.ndarray:
    """From output to input coordinates, which go from -1 to 1; float32 ``[n, 2, 3]``."""
    angle = np.deg2rad(rng.uniform(-_DEGREES, _DEGREES, n))
    scale, shear = rng.uniform(*_SCALE, (2, n)), rng.uniform(-_SHEAR, _SHEAR, n)
    mirrored = rng.choice((-1.0, 1.0), n) if flips else np.ones(n)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    skew = np.array([[mirrored * scale[0], shear], [np.zeros(n), scale[1]]])
    linear = np.einsum("ijn,jkn->nik", turn, skew)
    shift = rng.uniform(-2 * _SHIFT, 2 * _SHIFT, (n, 2, 1))
    return np.concatenate([linear, shift], axis=2).astype(np.float32)
