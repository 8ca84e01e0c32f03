"""Ways and shots that vary from episode to episode.

Triantafillou et al., "Meta-Dataset: A Dataset of Datasets for Learning to Learn from Few Examples",
ICLR 2020 (arXiv 1903.03096), section 3.2. With the classes C of an episode, n_c images of class c
and q queries of each class::

    ways     N = |C|, uniform in [min_ways, min(max_ways, classes)]
    support  S = min( max_support, sum_c ceil( beta min(max_support_per_class, n_c - q) ) )
    shares   R_c = exp(alpha_c) n_c / sum_c' exp(alpha_c') n_c'
    shots    k_c = min( floor( R_c (S - N) ) + 1, n_c - q )

with beta uniform in (0, 1] and alpha_c uniform in [log 1/2, log 2). So a class has at least one
shot, and may have more than ``max_support_per_class``, which bounds what it adds to S alone.

In a sequence (Santoro et al. 2016, arXiv 1605.06065) N classes have K examples each, in a random
order, and each example is predicted from the t before it. The probability of t before the k-th
example of a class is in proportion to P(k - 1 of the class among t) / (N K - t). So an episode is
the beginning of a sequence, whose length is t with a probability in proportion to 1 / (N K - t),
and its queries are further examples of all classes: the accuracy of those whose class has k - 1
support examples is that of the k-th instance. The empty beginning, where all is a guess, is left
out. Tasks of training share t, and there all t are equally likely: the loss of the paper counts
each place once.

Deviations from Meta-Dataset:

* The number of queries is a setting. In the paper it is at most half of the smallest class of the
  episode; here a default that is too large for the data is lowered to half of their smallest class.
* The tasks of a shard of training share N and S, so that they can be computed together without
  padded examples, which would enter batch norm. There S is computed with the N smallest classes of
  the split, so that any N classes have enough examples, and the examples that rounding down left
  over are added, one by one, to the class that is furthest below its share.
"""

from __future__ import annotations

from math import log

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from metaray.algorithms.episode_shape import EpisodeShape, Varying

Counts = NDArray[np.int64]

_LOG_WEIGHTS = (-log(2), log(2))


def draw_ways(rng: Generator, varying: Varying, max_ways: int) -> int:
    """A number of classes from ``min_ways`` to ``max_ways``, all equally likely."""
    return int(rng.integers(varying.min_ways, max_ways + 1))


def draw_support_size(rng: Generator, shape: EpisodeShape, images: Counts) -> int:
    """The number of support examples of an episode, at least one for each class.

    Args:
        rng: a random stream.
        shape: one that varies.
        images: of each of the classes, ``[N]``; more than ``shape.queries``.
    """
    assert shape.varying is not None
    if shape.varying.in_sequence:
        sizes = np.arange(1, shape.varying.max_support)
        chances = 1 / (shape.varying.max_support - sizes)
        return int(rng.choice(sizes, p=chances / chances.sum()))
    beta = 1 - rng.random()  # in (0, 1]
    most = np.minimum(images - shape.queries, shape.varying.max_support_per_class)
    return min(int(np.ceil(beta * most).sum()), shape.varying.max_support)


def draw_beginning(rng: Generator, size: int, shape: EpisodeShape) -> Counts:
    """The examples of each class, ``[N]``, in the first ``size`` of a sequence."""
    assert shape.varying is not None
    each = np.full(shape.ways, shape.varying.max_support_per_class)
    counts: Counts = rng.multivariate_hypergeometric(each, size)
    return counts


def draw_shots(
    rng: Generator, size: int, images: Counts, queries: int, exactly: bool = False
) -> Counts:
    """The support examples of each class, ``[N]``, at least one.

    Args:
        rng: a random stream.
        size: of the support set.
        images: of each class, ``[N]``; ``queries`` of each are left for the query set.
        queries: of each class.
        exactly: the support set has ``size`` examples, for which there must be images; otherwise
            at most that.
    """
    weights = np.exp(rng.uniform(*_LOG_WEIGHTS, len(images))) * images
    wanted = weights / weights.sum() * (size - len(images)) + 1
    most = images - queries
    shots: Counts = np.minimum(np.floor(wanted).astype(np.int64), most)
    for _ in range(size - int(shots.sum()) if exactly else 0):
        lacking = np.where(shots < most, wanted - shots, -np.inf)
        shots[lacking.argmax()] += 1
    return shots
