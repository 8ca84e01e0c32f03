"""Predictions on held-out episodes, by the same workers that train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from metaray.algorithms.episode_shape import Split
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.messages import EvaluateRequest, FlatState, Predictions
from metaray.platform.training.meta.metrics import MetaTest
from metaray.platform.training.meta.pool import Pool


def evaluate(
    pool: Pool,
    blueprint: Blueprint,
    split: Split,
    num_episodes: int,
    state: FlatState | None = None,
    done: Callable[[int], None] = lambda episodes: None,
) -> MetaTest:
    """Metrics over episodes 0 .. ``num_episodes`` - 1 of ``split``, the same at every call.

    Args:
        pool: where to compute.
        blueprint: of the run.
        split: ``val`` or ``test``.
        num_episodes: how many.
        state: parameters and buffers to test; None: the learner's own.
        done: told how many episodes were finished.
    """
    requests = episode_requests(blueprint, split, num_episodes)
    kind, steps = blueprint.algorithm.kind, blueprint.algorithm.reported_steps
    if blueprint.config.test_shape.varying is not None:
        return MetaTest.of_parts(kind, pool.evaluate(requests, state, done), steps)
    found = predictions(pool, requests, state, done)
    return MetaTest.from_outputs(kind, found.outputs, found.labels, steps)


def episode_requests(
    blueprint: Blueprint, split: Split, num_episodes: int, **settings: Any
) -> list[EvaluateRequest]:
    """For episodes 0 .. ``num_episodes`` - 1; ``settings`` are further fields of each request.

    Episodes whose shapes differ are computed one by one.
    """
    config = blueprint.config
    size = config.evaluate.shard_size if config.test_shape.varying is None else 1
    return [
        EvaluateRequest(
            split=split,
            first_episode=first,
            num_episodes=min(size, num_episodes - first),
            **settings,
        )
        for first in range(0, num_episodes, size)
    ]


def predictions(
    pool: Pool,
    requests: Sequence[EvaluateRequest],
    state: FlatState | None,
    done: Callable[[int], None],
) -> Predictions:
    """Those of all ``requests``, in their order; other arguments as of ``evaluate``."""
    parts = pool.evaluate(requests, state, done)
    return Predictions(
        outputs=np.concatenate([part.outputs for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
    )
