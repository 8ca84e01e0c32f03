"""The shapes at which meta-trained models are tested again, for the curves of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from metaray.algorithms.episode_shape import EpisodeShape
from metaray.algorithms.errors import InputError
from metaray.algorithms.tasks.source import EpisodeSource
from metaray.platform.config.meta import RunConfig
from metaray.platform.experiment.comparison import Curves

_SHOTS, _WAYS = (1, 2, 5, 10, 15, 20), (2, 5, 10, 20)
_FEWEST_QUERIES = 5


def curves_of(
    config: RunConfig,
    source: EpisodeSource,
    shots: Sequence[int] | None,
    ways: Sequence[int] | None,
    episodes: int,
) -> Curves:
    """The shapes asked for, or those of the usual ones that the data can serve.

    The number of queries is one for all: under transductive batch norm it is part of the question.
    There are none where the test itself varies the shape.
    """
    task = config.task
    if config.test_shape.varying is not None:
        if shots is not None or ways is not None:
            raise InputError(
                "--shots and --ways have no effect with task.sampler = varying, whose test has "
                "many shapes: leave them out, and see each run's report for accuracy by shape"
            )
        return Curves(shots=(), ways=(), queries=task.queries, episodes=episodes)
    own_shots = sorted({task.shots, *(_SHOTS if shots is None else shots)})
    own_ways = sorted({task.ways, *(_WAYS if ways is None else ways)})
    if source.kind == "regression":
        own_ways = []
    if shots is None:
        own_shots = [k for k in own_shots if _most_queries(source, config, task.ways, k)]
    if ways is None:
        own_ways = [n for n in own_ways if _most_queries(source, config, n, task.shots)]
    pairs = [(task.ways, k) for k in own_shots] + [(n, task.shots) for n in own_ways]
    lowest = 1 if shots is not None else _FEWEST_QUERIES
    queries = [_most_queries(source, config, n, k, lowest) for n, k in pairs]
    for (n, k), most in zip(pairs, queries, strict=True):
        if most == 0:  # say why, in the words of the data set
            source.check("test", replace(config.test_shape, ways=n, shots=k, queries=1))
    return Curves(
        shots=tuple(own_shots),
        ways=tuple(own_ways),
        queries=min(queries, default=task.queries),
        episodes=episodes,
    )


def shapes_of(config: RunConfig, curves: Curves) -> list[EpisodeShape]:
    """Those that a method can be tested at: one with a fixed head only at its own ways."""
    task = config.task
    if config.test_shape.varying is not None:
        return []
    pairs = {(task.ways, shots) for shots in curves.shots}
    if not config.method.fixed_head:
        pairs |= {(ways, task.shots) for ways in curves.ways}
    elif task.ways in curves.ways:
        pairs.add((task.ways, task.shots))
    own = config.test_shape
    return [replace(own, ways=w, shots=s, queries=curves.queries) for w, s in sorted(pairs)]


def _most_queries(
    source: EpisodeSource, config: RunConfig, ways: int, shots: int, lowest: int = _FEWEST_QUERIES
) -> int:
    """Queries per class, at most those of the test, that leave room for the shots; 0: none."""
    for queries in range(config.task.queries, min(lowest, config.task.queries) - 1, -1):
        try:
            shape = replace(config.test_shape, ways=ways, shots=shots, queries=queries)
            source.check("test", shape)
        except InputError:
            continue
        return queries
    return 0
