"""Whichever worker computes a shard, and in whichever order: the bits of one process.

Workers on Ray do the same in processes of their own, which ``tests/integration`` looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from metaray.algorithms.registry import METHODS
from metaray.platform.config.meta import RunConfig
from metaray.platform.experiment.meta import META
from metaray.platform.run.checkpoint import params_sha256
from metaray.platform.training.meta.blueprint import Blueprint
from metaray.platform.training.meta.executor import train_requests
from metaray.platform.training.meta.learner import MetaLearner
from metaray.platform.training.meta.messages import (
    EvaluateRequest,
    FlatState,
    ShardReport,
    ShardRequest,
)
from metaray.platform.training.meta.pool import LocalPool
from metaray.platform.training.meta.worker import TaskWorker

TESTED = [
    EvaluateRequest(split="test", first_episode=first, num_episodes=number)
    for first, number in ((0, 4), (4, 4), (8, 2))
] + [
    EvaluateRequest(
        split="val", first_episode=first, num_episodes=2, batch_norm="inductive", unknown_ways=2
    )
    for first in (0, 2)
]


def scattered(
    config: RunConfig, requests: Sequence[ShardRequest], state: FlatState
) -> list[tuple[Any, ShardReport]]:
    """The results in the order of ``requests``, each of a new worker, the last one first."""
    sent = state.copy()
    sent.setflags(write=False)  # as it lies in Ray's object store
    backwards = [TaskWorker(Blueprint.open(config)).run(each, sent) for each in requests[::-1]]
    return backwards[::-1]


@pytest.mark.parametrize("method", METHODS)
def test_any_worker_in_any_order_gives_the_bits_of_one_process(
    tiny_of: Callable[[str], list[str]], method: str
) -> None:
    """Five tasks in shards of two: the last shard is smaller."""
    config = META.load(None, [*tiny_of(method), "train.meta_batch_size=5", "train.shard_size=2"])
    alone, learner = LocalPool(Blueprint.open(config)), MetaLearner(Blueprint.open(config))
    state = learner.state()
    for step in range(2):
        requests = train_requests(step, config.train)
        alone.train_step(requests)
        sums, reports = zip(*scattered(config, requests, state), strict=True)
        state, _ = learner.update(requests, reports, sums)
    assert params_sha256(learner.snapshot()) == params_sha256(alone.snapshot())
    expected = alone.evaluate(TESTED, None, lambda episodes: None)
    for (found, _), theirs in zip(scattered(config, TESTED, state), expected, strict=True):
        np.testing.assert_array_equal(found.outputs, theirs.outputs)
        np.testing.assert_array_equal(found.labels, theirs.labels)
