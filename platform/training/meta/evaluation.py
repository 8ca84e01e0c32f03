"""Predictions on held-out episodes, by the same workers that train."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metaray.algorithms.episode_shape import Split
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.messages import EvaluateRequest, FlatState
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
    size = blueprint.config.evaluate.shard_size
    requests = [
        EvaluateRequest(
            split=split, first_episode=first, num_episodes=min(size, num_episodes - first)
        )
        for first in range(0, num_episodes, size)
    ]
    predictions = pool.evaluate(requests, state, done)
    return MetaTest.from_outputs(
        blueprint.algorithm.kind,
        np.concatenate([p.outputs for p in predictions]),
        np.concatenate([p.labels for p in predictions]),
        blueprint.algorithm.reported_steps,
    )
