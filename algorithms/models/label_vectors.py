"""Vectors that stand for classes, of which none is special.

An equal length, maximally equiangular set (ELMES; Fifty et al. 2024, section 4): vectors of one
length, any two of which have the same angle, the largest that is possible. They are the corners of
a regular simplex around zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metaray.algorithms.models.noise import permutation

_STREAM = 0xCA41


def simplex(number: int, width: int, like: Tensor) -> Tensor:
    """An ELMES of ``number`` vectors of length one, ``[number, width]``; ``number <= width``.

    Corners of the simplex of unit vectors, less their mean, on an orthonormal basis of cosines
    (DCT-II), so that each vector has its numbers in all places. Device and precision are those of
    ``like``.
    """
    centred = torch.eye(number, dtype=like.dtype, device=like.device) - 1 / number
    frequency = torch.arange(number, dtype=like.dtype, device=like.device)
    place = torch.arange(width, dtype=like.dtype, device=like.device) + 0.5
    cosines = torch.cos(math.pi / width * frequency[:, None] * place)
    norm = torch.where(frequency == 0, 1 / width, 2 / width).sqrt()
    length = math.sqrt(1 - 1 / number)
    return centred @ (norm[:, None] * cosines) / length


def deal(vectors: Tensor, ways: int, key: Tensor) -> Tensor:
    """The vectors of ``ways`` classes, ``[ways, width]``: which is whose, ``key`` decides."""
    return vectors[permutation(key, _STREAM, len(vectors))[:ways]]
