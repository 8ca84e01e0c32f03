"""How long a meta-trained network takes to adapt to a task."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import torch

from metaray.algorithms.episode import num_classes
from metaray.algorithms.episode_shape import Split, TaskSpec
from metaray.platform.training.meta.messages import FlatState

if TYPE_CHECKING:
    from metaray.platform.experiment.meta_session import MetaSession

_TIMED_EPISODES, _WARM_UP = 20, 3


def adaptation_time(session: MetaSession, state: FlatState, split: Split) -> float:
    """Seconds to adapt to one task and predict its queries on one CPU thread: the median of 20.

    One task at a time, unlike a meta-test, which batches them.

    Args:
        session: of the run.
        state: parameters and buffers to adapt from.
        split: ``val`` or ``test``, whose first episodes are taken.
    """
    config, blueprint = session.config, session.blueprint
    algorithm, shape = blueprint.algorithm, config.test_shape
    at = blueprint.unflatten(torch.from_numpy(state))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times = []
    try:
        for index in range(_WARM_UP + _TIMED_EPISODES):
            spec = TaskSpec(split=split, index=index, seed=config.seed, shape=shape)
            episode = session.source.sample(spec).to(torch.device("cpu"), blueprint.dtype)
            started = perf_counter()
            adapted = algorithm.adapt(
                at,
                episode.support_x,
                episode.support_y,
                num_classes(episode) if shape.has_own_ways else shape.ways,
                config.evaluate.batch_norm,
            )
            algorithm.predict(adapted[-1], episode.query_x)
            times.append(perf_counter() - started)
    finally:
        torch.set_num_threads(threads)
    return median(times[_WARM_UP:])
