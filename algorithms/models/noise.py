"""Random numbers as a pure function of a key, for use under ``vmap`` and on any device.

A generator has a state, which ``vmap`` cannot split and which differs between devices. Here the
n-th number of a key is a hash of both, in integers alone, so that its bits depend on nothing else
(the idea of Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"; the hash is the
32-bit mixer "lowbias32" of C. Wellons).
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF


def bernoulli(key: Tensor, stream: int, shape: tuple[int, ...], probability: float) -> Tensor:
    """Booleans of ``shape``, each true with ``probability``.

    Args:
        key: int64 ``[]``.
        stream: tells apart the draws that share a key.
        shape: of the result.
        probability: in [0, 1], to 32 bits.
    """
    return _uniform(key, stream, shape) < round(probability * 2**32)


def permutation(key: Tensor, stream: int, size: int) -> Tensor:
    """The numbers below ``size`` in random order, int64 ``[size]``.

    Args:
        key: int64 ``[]``.
        stream: tells apart the draws that share a key.
        size: how many there are.
    """
    return _uniform(key, stream, (size,)).argsort(stable=True)


def _uniform(key: Tensor, stream: int, shape: tuple[int, ...]) -> Tensor:
    """Numbers of 32 bits, held in int64."""
    numbers = torch.arange(prod(shape), device=key.device).reshape(shape)
    seed = _mix(_mix(key & _MASK) + stream & _MASK)
    return _mix(_mix(numbers & _MASK) ^ seed)


def _mix(x: Tensor) -> Tensor:
    """A bijection of 32-bit numbers, held in int64, in which each bit depends on each."""
    x = (x ^ (x >> 16)) * 0x7FEB352D & _MASK
    x = (x ^ (x >> 15)) * 0x846CA68B & _MASK
    return x ^ (x >> 16)
