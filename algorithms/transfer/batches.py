"""Which images a step sees, and the random numbers of it: functions of seed and step alone.

The batches of a domain are an endless sequence of its images, a new permutation in each pass,
cut into pieces of the batch size. No rank and no number of workers is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from numpy.random import SeedSequence, default_rng
from numpy.typing import NDArray
from torch import Tensor

Indices = NDArray[np.int64]

# first numbers of the keys, so that no two purposes share random numbers
_EPOCH, _ORDER, _DROP, _AUGMENT = range(4)


@dataclass(frozen=True)
class Stream:
    """The batches of one domain."""

    num_examples: int
    batch_size: int
    seed: int
    domain: int
    """0 or 1: the two domains of a job have separate permutations"""

    def batch(self, step: int) -> Indices:
        """Indices ``[batch_size]`` of the images of ``step``."""
        first = step * self.batch_size
        places = np.arange(first, first + self.batch_size)
        epochs = places // self.num_examples
        batch = np.empty(self.batch_size, np.int64)
        for epoch in np.unique(epochs):
            at = epochs == epoch
            order = _permutation(self.num_examples, self.seed, self.domain, int(epoch))
            batch[at] = order[places[at] % self.num_examples]
        return batch


@lru_cache(maxsize=8)
def _permutation(count: int, seed: int, domain: int, epoch: int) -> Indices:
    return _rng(seed, _EPOCH, domain, epoch).permutation(count)


def shuffled_order(seed: int, step: int, batch_size: int) -> Indices:
    """The order in which shuffled views lie in ``step``."""
    return _rng(seed, _ORDER, step).permutation(batch_size)


def drop_key(seed: int, step: int, shard: int) -> Tensor:
    """The seed of what is dropped at random in a shard: int64 ``[]``."""
    return torch.tensor(_number(seed, _DROP, step, shard) >> 33, dtype=torch.int64)


def augmentation(seed: int, step: int, place: int, view: int) -> torch.Generator:
    """The random numbers with which the image at ``place`` of the batch is augmented."""
    return torch.Generator().manual_seed(_number(seed, _AUGMENT, step, place, view) >> 1)


def shard_bounds(batch_size: int, shard_size: int) -> list[tuple[int, int]]:
    """First and last + 1 of each shard: as few as may be, of sizes that differ by one at most."""
    count = -(-batch_size // shard_size)
    cuts = [round(i * batch_size / count) for i in range(count + 1)]
    return list(pairwise(cuts))


def _rng(seed: int, *key: int) -> np.random.Generator:
    return default_rng(SeedSequence(seed, spawn_key=key))


def _number(seed: int, *key: int) -> int:
    return int(SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)[0])
